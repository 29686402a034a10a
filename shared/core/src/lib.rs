//! lifeboat-core
