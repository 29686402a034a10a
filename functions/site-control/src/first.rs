//! The first activation: the site that the plan names, under the epoch that no recovery claimed.

use lifeboat_core::{
    AppName, ErrorName, Fault, SiteName,
    contract::{Authority, DatabaseAddress, site_control::Response},
    ledger::FIRST_EPOCH,
};

use crate::{Authorizer, Hosts, Plans, Ports, activate::on_hosts, site};

pub(crate) async fn activate<P, A, H>(
    app: AppName,
    name: SiteName,
    commands: Vec<String>,
    ports: &Ports<P, A, H>,
) -> Result<Response, Fault>
where
    P: Plans,
    A: Authorizer,
    H: Hosts,
{
    let plan = ports.plans.plan(&app).await?;
    ports.authorizer.first(&plan, &name).await?;
    let first = site(&plan, &name)?;
    if plan.initially_active != name {
        return Err(Fault::new(
            ErrorName::Refused,
            format!("the plan of {app} begins with site {}, not {name}", plan.initially_active),
        ));
    }
    let database = DatabaseAddress {
        host: first.database.host.clone(),
        port: first.database.port,
        name: plan.database.name.clone(),
    };
    // The name under which messages speak of it; no register holds it.
    let incident = format!("{app}-first").parse().map_err(|error| {
        Fault::invalid(format!("the first activation of {app} cannot be named: {error}"))
    })?;
    let authority = Authority { app, incident, epoch: FIRST_EPOCH, site: name };
    on_hosts(&authority, &database, commands, &plan, ports).await
}
