//! A wish to stop, from a signal.

use tokio::sync::watch;

/// Tells the work to stop.
#[derive(Debug)]
pub struct Stopper(watch::Sender<bool>);

/// What the work looks at. Cloned freely; never stops by itself.
#[derive(Debug, Clone)]
pub struct Stop(watch::Receiver<bool>);

/// A wish that has not been made, and the means to make it.
#[must_use]
pub fn stop() -> (Stopper, Stop) {
    let (sender, receiver) = watch::channel(false);
    (Stopper(sender), Stop(receiver))
}

impl Stopper {
    /// Makes the wish; making it again changes nothing.
    pub fn stop(&self) {
        self.0.send_replace(true);
    }
}

impl Stop {
    /// Returns when the work shall stop, and never when nobody can say so any more.
    pub async fn asked(&self) {
        let mut receiver = self.0.clone();
        if receiver.wait_for(|asked| *asked).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
