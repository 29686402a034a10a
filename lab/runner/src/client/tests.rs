//! Against a small DNS server and small apps on the loopback interface.
