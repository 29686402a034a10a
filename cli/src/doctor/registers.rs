//! What the registers of an app say: those of the sites' regions, and the witness's.

use lifeboat_core::{
    Region,
    plan_file::AppPlan,
    registers::{Claim, Registers, claim_of},
};

use super::judge::{Finding, Health};

/// One register, from what every region answered.
pub(super) fn judge(plan: &AppPlan, file: &str, region: &Region, registers: &Registers) -> Finding {
    let of = |health, said: String| Finding::new(health, "register", region, said);
    let show = || format!("lifeboat plan show --app {} --region {region}", plan.app);
    if let Some((_, why)) = registers.silent().find(|(silent, _)| *silent == region) {
        return of(Health::Unknown, format!("it cannot be read: {why}"))
            .next("give the same command again");
    }
    let Some(record) = registers.of(region) else {
        return of(Health::Fault, "there is none".to_owned())
            .next(format!("lifeboat plan apply {file}"));
    };
    if let Some(holder) = &record.recovery {
        let said = format!("recovery {} holds it since {}", holder.incident, holder.opened_at);
        return of(Health::Warning, said).next(show());
    }
    let Claim { epoch, site } = claim_of(record);
    match registers.agreed() {
        None => of(
            Health::Fault,
            format!(
                "site {site} under epoch {epoch}, and no majority confirms any site ({})",
                registers.words()
            ),
        )
        .next(show()),
        Some(agreed) if agreed.epoch > epoch => of(
            Health::Warning,
            format!("it lags: epoch {epoch}, and a majority is at {}", agreed.epoch),
        )
        .next(format!("lifeboat plan apply {file}; the observer's next tick does it too")),
        Some(agreed) if agreed.epoch < epoch => of(
            Health::Ok,
            format!(
                "epoch {epoch} of a claim that got no majority; site {} is active under epoch {}",
                agreed.site, agreed.epoch
            ),
        ),
        Some(_) => of(Health::Ok, format!("epoch {epoch}, site {site} active")),
    }
}

#[cfg(test)]
mod tests {
    use lifeboat_core::{Epoch, plan_file, registers::Answer, registers::fresh};

    use super::*;

    #[test]
    fn a_register_is_held_against_what_a_majority_says() {
        let plan = plan_file::read(include_str!("../../../events/plan/queue.toml")).unwrap();
        let now = "2026-12-01T12:00:00Z".parse().unwrap();
        let holds = |epoch: u64, site: &str| {
            let claim = Claim { epoch: Epoch(epoch), site: site.parse().unwrap() };
            Answer::Holds(fresh(&plan.app, &claim, now))
        };
        let silent = || Answer::Silent("dark".into());
        let of = |answers: [Answer; 3], place: usize| {
            let regions: Vec<Region> = plan.registers().cloned().collect();
            let region = regions[place].clone();
            let registers = Registers::new(regions.into_iter().zip(answers));
            judge(&plan, "queue.toml", &region, &registers).health
        };
        let (old, new) = (|| holds(1, "a"), || holds(2, "b"));
        assert_eq!(of([old(), old(), old()], 2), Health::Ok);
        assert_eq!(of([old(), old(), Answer::Absent], 2), Health::Fault);
        assert_eq!(of([old(), old(), silent()], 2), Health::Unknown);
        assert_eq!(of([old(), new(), new()], 0), Health::Warning, "it lags");
        assert_eq!(of([old(), new(), old()], 1), Health::Ok, "a claim without a majority");
        assert_eq!(of([old(), new(), silent()], 0), Health::Fault, "nobody may write");
    }
}
