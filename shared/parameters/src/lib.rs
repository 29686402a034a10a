//! lifeboat-parameters
