//! lifeboat-lab-hosts
