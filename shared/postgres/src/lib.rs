//! lifeboat-postgres
