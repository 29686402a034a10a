//! lifeboat-lab-gateway
