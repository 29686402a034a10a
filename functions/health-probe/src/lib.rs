//! health-probe
