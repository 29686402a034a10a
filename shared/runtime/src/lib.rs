//! lifeboat-runtime
