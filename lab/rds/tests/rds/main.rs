//! Drives the server with boto3 over real PostgreSQL. Each test has addresses of its own
//! (127.77.x), so that the tests run beside each other and beside a lab.

#[cfg(test)]
mod automated;
#[cfg(test)]
mod faults;
#[cfg(test)]
mod links;
#[cfg(test)]
mod operations;
#[cfg(test)]
mod recovery;
#[cfg(test)]
mod snapshots;
#[cfg(test)]
mod support;
