//! lifeboat-lab-dns
