//! lifeboat-tests
