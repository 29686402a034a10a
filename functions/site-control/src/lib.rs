//! site-control
