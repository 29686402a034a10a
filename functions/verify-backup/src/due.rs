//! Which checks this region owes.

use lifeboat_catalogue::Objects;
use lifeboat_core::{
    AppName, Fault,
    backup::{
        Depth, Kind,
        verification::{self, Owed},
    },
    contract::verify_backup::{DueCheck, Response},
};

use crate::{Plans, Ports, wal};

pub(crate) async fn due<P: Plans, B: Objects, S, M>(
    app: &AppName,
    ports: &Ports<P, B, S, M>,
) -> Result<Response, Fault> {
    let plan = ports.plans.plan(app).await?;
    let catalogue = ports.backups.catalogue(app, None).await?;
    let cadence = plan.backup.map(|backup| backup.verify).unwrap_or_default().cadence();
    let owed = verification::owed(&catalogue, &cadence, (ports.clock)());
    let mut due: Vec<DueCheck> = owed
        .into_iter()
        .map(|Owed { kind, id, depth }| DueCheck { app: app.clone(), kind, id, depth })
        .collect();
    // One check reads all the new WAL there is time for; it is asked for by its newest segment.
    if let Some(id) = wal::newest_unread(&ports.backups, app).await? {
        let check = DueCheck { app: app.clone(), kind: Kind::DatabaseWal, id, depth: Depth::Read };
        due.insert(0, check);
    }
    Ok(Response::Due { due })
}
