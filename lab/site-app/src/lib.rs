//! lifeboat-site-app
