//! lifeboat-lab-rds
