//! The world: what is where, and what may happen next.
//!
//! Time counts in half seconds, so that a permit of 3 s is six of them and the wait of 3.5 s is seven.

use std::sync::LazyLock;

use jiff::{SignedDuration, Timestamp};
use lifeboat_core::{
    AppName, Epoch, Fault, IncidentId, Region, SiteName,
    ledger::{
        self, AgreedBefore, Claimant, ControlRecord, EpochClass, FIRST_EPOCH, Holder, HolderState,
        Opening,
    },
    permit::{self, Memory, Moment, Uptime},
    registers::{self, Answer, Claim, Raise, Registers, claim_of, majority, raise},
};

/// A region's place: those of the sites a and b, and the witness's.
const REGIONS: [&str; 3] = ["us-east-1", "us-west-2", "us-east-2"];
const SITES: [&str; 2] = ["a", "b"];
/// Half seconds that a run lasts at the most.
const END: u8 = 24;
/// Half seconds that pass at once: one, a permit's length, and that of the wait.
const WAITS: [u8; 3] = [1, 6, 7];

/// The rules; those that are not the real ones are wrong on purpose.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Rules {
    /// A guard's reads are steps of their own, and an answer may be lost. Off, they all happen when the
    /// tick begins: the earlier a register is read, the older is what it says, and the permit is written
    /// whenever it may be all the same.
    pub(crate) fine: bool,
    /// Changes of links in one run.
    pub(crate) cuts: u8,
    /// Recoveries that each region opens in one run.
    pub(crate) recoveries: u8,
    /// Nothing is opened before the last permit has ended.
    pub(crate) waits: bool,
    /// A permit rests on the own region's register alone.
    pub(crate) permits_by_own: bool,
    /// A claim counts once its own register holds it.
    pub(crate) claims_alone: bool,
    /// A permit counts from the answer.
    pub(crate) permits_from_answer: bool,
    /// Every site takes the next epoch.
    pub(crate) one_class: bool,
    /// The newest claim that is seen makes a site the active one, and a recovery of it has nothing to do.
    pub(crate) active_by_newest: bool,
    /// A recovery that stands down leaves no holder, whatever the one before it left unfinished.
    pub(crate) forgets: bool,
    /// Nobody sees that a holder's execution has ended.
    pub(crate) dead_holders_stay: bool,
    /// A claim that is gone on from counts, whatever was claimed since.
    pub(crate) old_claims_count: bool,
}

impl Rules {
    pub(crate) const REAL: Self = Self {
        fine: false,
        cuts: 1,
        recoveries: 2,
        waits: true,
        permits_by_own: false,
        claims_alone: false,
        permits_from_answer: false,
        one_class: false,
        active_by_newest: false,
        forgets: false,
        dead_holders_stay: false,
        old_claims_count: false,
    };
}

/// A register, in as little as it takes to tell two states apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Register {
    epoch: u8,
    site: u8,
    reserved: u8,
    holder: Option<Held>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Held {
    /// Which recovery of the region, from 1.
    number: u8,
    epoch: u8,
    claimed: bool,
    failed: bool,
    agreed_at: Option<u8>,
    /// The claim that it goes on from: its epoch, and when the old site was left by it.
    before: Option<(u8, u8)>,
}

/// A site's host: its guard, and what its app may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Host {
    /// Its `site.json`: the epoch; 0 is standby.
    epoch: u8,
    /// When its permit ends.
    permit: u8,
    /// The reads of the tick that it makes: since when, and what came so far.
    tick: Option<Tick>,
    memory: Memory,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Tick {
    began: u8,
    /// Answered, silent, or not yet, for each register.
    read: [Option<Option<Register>>; 3],
}

/// An execution of the recover machine, which activates its own region's site.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
struct Recovery {
    /// How many this region has opened.
    opened: u8,
    /// The epoch of the one that runs; 0 when none does.
    epoch: u8,
    /// Registers that it knows to hold its claim.
    reached: [bool; 3],
    /// Whether the database of its site was opened by it.
    promoted: bool,
    /// The epoch of a claim on its way to each register, whose sender has ended; 0 when none is.
    late: [u8; 3],
}

/// Everything.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct World {
    now: u8,
    registers: [Register; 3],
    /// Whether what is in a site's region reaches a register.
    links: [[bool; 3]; 2],
    cuts: u8,
    hosts: [Host; 2],
    recoveries: [Recovery; 2],
    /// Whether a site's database takes writes.
    writable: [bool; 2],
    /// The epoch under which a recovery opened it; 0 when none did.
    opened: [u8; 2],
    /// The epochs that were claimed, as bits, by site.
    claimed: [u32; 2],
    /// When a site can have acknowledged a write last; looked at in walks alone, for it makes many states.
    wrote: [u8; 2],
    /// Whether a database was opened beside writes that were not counted as lost.
    uncounted: bool,
}

/// What may happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// So many half seconds pass.
    Wait(u8),
    /// A link is cut, or back.
    Link(u8, u8),
    /// A guard begins to read.
    Tick(u8),
    /// It gets the answer of one register, or none.
    Read(u8, u8),
    /// It has what it can get, and writes the permit.
    Permit(u8),
    /// A recovery opens.
    Open(u8),
    /// It writes its claim into its own register.
    ClaimOwn(u8),
    /// And into another one; the answer may be lost.
    ClaimOther(u8, u8, bool),
    /// It notes that a majority holds it.
    Agree(u8),
    /// It opens the database.
    Promote(u8),
    /// It gives the epoch to its site's host.
    Activate(u8),
    /// It gives up.
    Fail(u8),
    /// It ends without a word: stopped by a person, or its last call was lost.
    Die(u8),
    /// It finds that nothing has to be done, or a person declines.
    StandDown(u8),
    /// What it sent before it ended arrives.
    Late(u8, u8),
    /// Somebody sees that the holder's execution has ended.
    Release(u8),
    /// A person gives up a claim that never had a majority, seen from a site's region.
    Abandon(u8),
    /// A register that lags is settled, seen from a site's region.
    Settle(u8, u8),
}

impl Step {
    /// Whether it ends what is under way, or uses up what there is little of.
    pub(crate) const fn is_rare(self) -> bool {
        matches!(
            self,
            Self::Wait(_) | Self::Link(..) | Self::Fail(_) | Self::Die(_) | Self::StandDown(_)
        )
    }
}

impl World {
    /// Site a is active under the first epoch, and every register says so, with every choice of what is
    /// cut.
    pub(crate) fn begins() -> Vec<Self> {
        let cut = |bits: u8| {
            let mut links = [[true; 3]; 2];
            let far = [(0, 1), (0, 2), (1, 0), (1, 2)];
            for (bit, (site, register)) in far.into_iter().enumerate() {
                links[site][register] = bits & (1 << bit) == 0;
            }
            Self { links, ..Self::begin() }
        };
        (0..16).map(cut).collect()
    }

    fn begin() -> Self {
        let register = Register { epoch: 1, site: 0, reserved: 1, holder: None };
        let host = |epoch| Host { epoch, permit: 0, tick: None, memory: Memory::default() };
        Self {
            now: 0,
            registers: [register; 3],
            links: [[true; 3]; 2],
            cuts: 0,
            hosts: [host(1), host(0)],
            recoveries: [Recovery::default(); 2],
            writable: [true, false],
            opened: [0, 0],
            claimed: [1 << 1, 0],
            wrote: [0, 0],
            uncounted: false,
        }
    }

    /// Everything that may happen next.
    pub(crate) fn steps(&self, rules: Rules) -> Vec<Step> {
        let waits = WAITS.into_iter().filter(|halves| self.now + halves <= END);
        let mut steps: Vec<Step> = waits.map(Step::Wait).collect();
        for site in 0..2u8 {
            let host = self.hosts[usize::from(site)];
            match host.tick {
                None if host.epoch > 0 => steps.push(Step::Tick(site)),
                None => {}
                Some(tick) => {
                    // Without any the permit would be refused, which only matters for time.
                    let unread = (0..3u8).filter(|r| tick.read[usize::from(*r)].is_none());
                    steps.extend(unread.map(|register| Step::Read(site, register)));
                    steps.push(Step::Permit(site));
                }
            }
            for register in 0..3 {
                if self.cuts < rules.cuts && register != site {
                    steps.push(Step::Link(site, register));
                }
                steps.push(Step::Settle(site, register));
            }
            let recovery = self.recoveries[usize::from(site)];
            if rules.fine {
                steps.extend((0..3).map(|register| Step::Late(site, register)));
            }
            if recovery.epoch == 0 {
                if recovery.opened < rules.recoveries {
                    steps.push(Step::Open(site));
                }
                if rules.fine {
                    steps.extend([Step::Release(site), Step::Abandon(site)]);
                }
                continue;
            }
            steps.push(Step::StandDown(site));
            if rules.fine {
                steps.push(Step::Die(site));
            }
            steps.extend([Step::ClaimOwn(site), Step::Agree(site), Step::Promote(site)]);
            steps.extend([Step::Activate(site), Step::Fail(site)]);
            for register in (0..3).filter(|register| *register != site) {
                steps.push(Step::ClaimOther(site, register, false));
                if rules.fine {
                    steps.push(Step::ClaimOther(site, register, true));
                }
            }
        }
        steps
    }

    /// What is so after a step; none when it changes nothing.
    pub(crate) fn after(&self, step: Step, rules: Rules) -> Option<Self> {
        let mut next = self.clone();
        match step {
            Step::Wait(halves) => {
                next.now += halves;
                for site in (0..2).filter(|site| rules.fine && self.writes(*site)) {
                    next.wrote[site] = next.now.min(self.hosts[site].permit);
                }
            }
            Step::Link(site, register) => {
                let link = &mut next.links[usize::from(site)][usize::from(register)];
                *link = !*link;
                next.cuts += 1;
            }
            Step::Tick(site) => {
                let read = if rules.fine {
                    [None; 3]
                } else {
                    [0, 1, 2].map(|register| Some(self.read(site, register)))
                };
                next.hosts[usize::from(site)].tick = Some(Tick { began: self.now, read });
            }
            Step::Read(site, register) => {
                let answer = self.read(site, register);
                next.hosts[usize::from(site)].tick.as_mut()?.read[usize::from(register)] =
                    Some(answer);
            }
            Step::Permit(site) => next.permit(site, rules)?,
            Step::Open(site) => next.open(site, rules)?,
            Step::ClaimOwn(site) => next.claim_own(site, rules)?,
            Step::ClaimOther(site, register, lost) => next.claim_other(site, register, lost)?,
            Step::Agree(site) => next.agree(site, rules)?,
            Step::Promote(site) => next.promote(site, rules)?,
            Step::Activate(site) => next.activate(site, rules)?,
            Step::Fail(site) => next.fail(site)?,
            Step::Die(site) => next.end(site),
            Step::StandDown(site) => next.stand_down(site, rules)?,
            Step::Late(site, register) => next.arrive(site, register)?,
            Step::Release(site) => next.release(site, rules)?,
            Step::Abandon(site) => next.abandon(site)?,
            Step::Settle(site, register) => next.settle(site, register)?,
        }
        (next != *self).then_some(next)
    }

    /// Whether a recovery has opened a database.
    pub(crate) fn has_recovered(&self) -> bool {
        self.opened != [0, 0]
    }

    /// What is wrong here; none when nothing is.
    pub(crate) fn broken(&self) -> Option<String> {
        let writes = |site| self.writes(site);
        if self.uncounted {
            return Some(
                "writes are lost beyond the moment to which the loss was counted".to_owned(),
            );
        }
        if writes(0) && writes(1) {
            return Some("both sites may write".to_owned());
        }
        for (site, other) in [(0, 1), (1, 0)] {
            if writes(site) && self.opened[other] > self.hosts[site].epoch {
                return Some(format!(
                    "site {} may write, and the database of {} was opened under a newer epoch",
                    SITES[site], SITES[other]
                ));
            }
        }
        if self.claimed[0] & self.claimed[1] != 0 {
            return Some("two sites claimed one epoch".to_owned());
        }
        None
    }

    /// Whether a site's app may acknowledge a write now.
    fn writes(&self, site: usize) -> bool {
        self.writable[site] && self.hosts[site].epoch > 0 && self.now < self.hosts[site].permit
    }

    fn read(&self, site: u8, register: u8) -> Option<Register> {
        self.links[usize::from(site)][usize::from(register)]
            .then(|| self.registers[usize::from(register)])
    }

    fn seen_from(&self, site: u8) -> Registers {
        all(std::array::from_fn(|register| self.read(site, u8::try_from(register).unwrap())))
    }

    fn permit(&mut self, site: u8, rules: Rules) -> Option<()> {
        let host = self.hosts[usize::from(site)];
        let tick = host.tick?;
        let answers = tick.read.map(Option::flatten);
        let began = if rules.permits_from_answer { self.now } else { tick.began };
        let claim = Claim { epoch: Epoch(host.epoch.into()), site: site_name(site) };
        let registers = if rules.permits_by_own {
            let own = answers[usize::from(site)];
            let region = region(site);
            let silent = || Answer::Silent("dark".into());
            Registers::new([(
                region,
                own.map_or_else(silent, |own| Answer::Holds(own.record(site))),
            )])
        } else {
            all(answers)
        };
        let (permit, memory) =
            permit::decide(host.memory, &app(), &claim, &registers, &moment(began));
        let host = &mut self.hosts[usize::from(site)];
        host.memory = memory;
        host.tick = None;
        host.permit = since_begin(permit.valid_until);
        Some(())
    }

    fn open(&mut self, site: u8, rules: Rules) -> Option<()> {
        let seen = self.seen_from(site);
        let recovery = self.recoveries[usize::from(site)];
        let number = recovery.opened + 1;
        let (incident, target) = (incident(site, number), site_name(site));
        let claimant =
            Claimant { incident: &incident, execution: incident.as_str(), target: &target };
        let class = if rules.one_class {
            EpochClass::of(&target, [&target])
        } else {
            EpochClass::of(&target, NAMES.iter())
        };
        let class = class.unwrap();
        if rules.active_by_newest
            && seen.presumed().is_some_and(|claim| claim.site == target)
            && seen.of(&region(site)).is_some_and(|own| own.recovery.is_none())
        {
            return None;
        }
        let opened = match ledger::open(&region(site), &seen, &claimant, class, at(self.now)) {
            Opening::Write(record) => record,
            Opening::AlreadyOurs(_) | Opening::StandDown(_) => return None,
        };
        let holder = opened.recovery.as_ref().unwrap();
        let epoch = small(holder.epoch);
        self.registers[usize::from(site)] = Register::of(&opened);
        self.recoveries[usize::from(site)] =
            Recovery { opened: number, epoch, reached: [false; 3], promoted: false, ..recovery };
        Some(())
    }

    fn mine(&self, site: u8) -> (ControlRecord, IncidentId, Epoch) {
        let recovery = self.recoveries[usize::from(site)];
        let record = self.registers[usize::from(site)].record(site);
        (record, incident(site, recovery.opened), Epoch(recovery.epoch.into()))
    }

    fn claim_own(&mut self, site: u8, rules: Rules) -> Option<()> {
        let (record, incident, epoch) = self.mine(site);
        // As `Ledger::claim` does it: a majority is read first, and asked whether anything newer was claimed.
        let seen = self.seen_from(site);
        let holder = record.recovery.as_ref()?;
        let is_overtaken = seen.newest().is_some_and(|newest| newest.epoch > epoch);
        if seen.too_few() || is_overtaken {
            return None;
        }
        let looks = holder.agreed_at.is_none() && !rules.old_claims_count;
        if looks && ledger::still_before(holder, &seen).is_err() {
            let forgotten = ledger::without_before(&record, at(self.now));
            self.registers[usize::from(site)] = Register::of(&forgotten);
            return Some(());
        }
        let claimed = ledger::claim(&record, &incident, epoch, at(self.now)).ok()?;
        self.registers[usize::from(site)] = Register::of(&claimed);
        self.recoveries[usize::from(site)].reached[usize::from(site)] = true;
        self.claimed[usize::from(site)] |= 1 << epoch.0;
        Some(())
    }

    fn claim_other(&mut self, site: u8, register: u8, lost: bool) -> Option<()> {
        let recovery = self.recoveries[usize::from(site)];
        if !recovery.reached[usize::from(site)] {
            return None;
        }
        let theirs = self.read(site, register)?.record(register);
        let claim = Claim { epoch: Epoch(recovery.epoch.into()), site: site_name(site) };
        match raise(&theirs, &claim, at(self.now)) {
            Raise::Write(raised) => self.registers[usize::from(register)] = Register::of(&raised),
            Raise::Holds => {}
            Raise::Newer(_) => return None,
        }
        if !lost {
            self.recoveries[usize::from(site)].reached[usize::from(register)] = true;
        }
        Some(())
    }

    fn agree(&mut self, site: u8, rules: Rules) -> Option<()> {
        let recovery = self.recoveries[usize::from(site)];
        let reached = recovery.reached.iter().filter(|reached| **reached).count();
        let enough = if rules.claims_alone { 1 } else { majority(3) };
        if reached < enough {
            return None;
        }
        let (record, incident, epoch) = self.mine(site);
        let agreed = ledger::agree(&record, &incident, epoch, at(self.now)).ok()?;
        self.registers[usize::from(site)] = Register::of(&agreed);
        Some(())
    }

    /// What every action asks before it acts.
    fn may_act(&self, site: u8, rules: Rules) -> Result<Holder, Fault> {
        let (record, incident, epoch) = self.mine(site);
        if rules.claims_alone {
            return ledger::authorize(&record, &incident, epoch).cloned();
        }
        let seen = self.seen_from(site);
        registers::may_act(&seen, &region(site), &incident, epoch).cloned()
    }

    fn promote(&mut self, site: u8, rules: Rules) -> Option<()> {
        let holder = self.may_act(site, rules).ok()?;
        if rules.waits {
            permit::ended(&holder, at(self.now)).ok()?;
        } else {
            holder.agreed_at?;
        }
        // Its own database lacks what the other site has acknowledged since it was left.
        let other = usize::from(1 - site);
        let counted = holder.left_at(None).map(|left| since_begin(left + permit::PERMITS_END));
        let is_first = self.opened[usize::from(site)] < self.opened[other]
            || !self.writable[usize::from(site)];
        self.uncounted |= is_first && counted.is_some_and(|until| self.wrote[other] > until);
        self.writable[usize::from(site)] = true;
        self.opened[usize::from(site)] = self.recoveries[usize::from(site)].epoch;
        self.recoveries[usize::from(site)].promoted = true;
        Some(())
    }

    fn activate(&mut self, site: u8, rules: Rules) -> Option<()> {
        let recovery = self.recoveries[usize::from(site)];
        if !recovery.promoted {
            return None;
        }
        self.may_act(site, rules).ok()?;
        self.hosts[usize::from(site)].epoch = recovery.epoch;
        let (record, incident, _) = self.mine(site);
        let closed = ledger::close(&record, &incident, ledger::Ending::Recovered, at(self.now));
        self.registers[usize::from(site)] = Register::of(&closed.ok()?);
        self.end(site);
        Some(())
    }

    /// The execution ends. What it has sent may arrive later.
    fn end(&mut self, site: u8) {
        let recovery = &mut self.recoveries[usize::from(site)];
        if recovery.reached[usize::from(site)] {
            for register in (0..3).filter(|register| !recovery.reached[*register]) {
                recovery.late[register] = recovery.epoch;
            }
        }
        recovery.epoch = 0;
    }

    fn arrive(&mut self, site: u8, register: u8) -> Option<()> {
        let late = &mut self.recoveries[usize::from(site)].late[usize::from(register)];
        let epoch = std::mem::take(late);
        let theirs = self.registers[usize::from(register)].record(register);
        let claim = Claim { epoch: Epoch(epoch.into()), site: site_name(site) };
        if let Raise::Write(raised) = raise(&theirs, &claim, at(self.now)) {
            self.registers[usize::from(register)] = Register::of(&raised);
        }
        (epoch > 0).then_some(())
    }

    /// What is closed as stood down, the machine closes before a majority holds its claim alone.
    fn stand_down(&mut self, site: u8, rules: Rules) -> Option<()> {
        let (record, incident, epoch) = self.mine(site);
        ledger::authorize(&record, &incident, epoch).ok()?;
        let stood_down = ledger::Ending::StoodDown;
        ledger::may_close(&record, &incident, (epoch, &site_name(site)), stood_down).ok()?;
        let closed = ledger::close(&record, &incident, ledger::Ending::StoodDown, at(self.now));
        let mut closed = closed.ok()?;
        if rules.forgets {
            closed.recovery = None;
        }
        self.registers[usize::from(site)] = Register::of(&closed);
        self.end(site);
        Some(())
    }

    /// As the machine of the next recovery does it, and a person for one of another region.
    fn release(&mut self, site: u8, rules: Rules) -> Option<()> {
        let record = self.registers[usize::from(site)].record(site);
        let holder = record.recovery.as_ref()?;
        if rules.dead_holders_stay || self.recoveries[usize::from(site)].epoch > 0 {
            return None;
        }
        let incident = holder.incident.clone();
        let closed = ledger::close(&record, &incident, ledger::Ending::Failed, at(self.now));
        self.registers[usize::from(site)] = Register::of(&closed.ok()?);
        Some(())
    }

    /// So late that nothing is on its way any more.
    fn abandon(&mut self, site: u8) -> Option<()> {
        if self.recoveries.iter().any(|recovery| recovery.late != [0; 3]) {
            return None;
        }
        let late = at(self.now) + SignedDuration::from_secs(registers::ON_ITS_WAY_SECONDS);
        for (region, back) in registers::abandon(&self.seen_from(site), late).ok()? {
            let place = PLACES.iter().position(|other| *other == region)?;
            self.registers[place] = Register::of(&back);
        }
        Some(())
    }

    /// Why nobody is served although nothing is wrong any more but that one region is lost for good; none
    /// when a site serves, or the operator's command in a region that is there makes it serve.
    pub(crate) fn stuck(&self, rules: Rules) -> Option<String> {
        (0..4).find_map(|lost| {
            let world = self.at_rest(lost, rules);
            let is_lost = |site: u8| site == lost;
            let serves = (0..2).any(|site| !is_lost(site) && world.serves(site, rules));
            let helps = |site: u8| !is_lost(site) && world.recovered(site, rules).is_some();
            let is_stuck = !serves && !helps(0) && !helps(1);
            is_stuck.then(|| match REGIONS.get(usize::from(lost)) {
                Some(region) => {
                    format!("with {region} lost nobody is served, and no recovery helps")
                }
                None => {
                    "with every region there nobody is served, and no recovery helps".to_owned()
                }
            })
        })
    }

    /// Every link is there but those to the lost region, what is on its way has come or never does, and
    /// every execution has ended.
    fn at_rest(&self, lost: u8, rules: Rules) -> Self {
        let mut world = self.clone();
        world.links = [0, 1].map(|site| [0, 1, 2].map(|to| to != lost && site != lost));
        for site in 0..2 {
            if world.recoveries[usize::from(site)].epoch > 0 {
                world.end(site);
            }
            world.recoveries[usize::from(site)].late = [0; 3];
            world.hosts[usize::from(site)].tick = None;
            if site != lost {
                // A holder that was closed is not there, and one that failed is as it was.
                let _ = world.release(site, rules);
            }
        }
        for site in (0..2).filter(|site| *site != lost) {
            for register in 0..3 {
                let _ = world.settle(site, register);
            }
        }
        world
    }

    fn serves(&self, site: u8, rules: Rules) -> bool {
        let host = self.hosts[usize::from(site)];
        let tick = Step::Tick(site);
        let rules = Rules { fine: false, ..rules };
        let read = (host.epoch > 0).then(|| self.after(tick, rules)).flatten();
        let after = read.and_then(|read| read.after(Step::Permit(site), rules));
        after.is_some_and(|world| {
            world.writable[usize::from(site)] && world.now < world.hosts[usize::from(site)].permit
        })
    }

    /// A recovery that nothing disturbs, to its end.
    fn recovered(&self, site: u8, rules: Rules) -> Option<Self> {
        let others = (0..3).filter(|register| *register != site);
        let claims =
            others.filter(|register| self.links[usize::from(site)][usize::from(*register)]);
        let mut steps = vec![Step::Open(site), Step::ClaimOwn(site)];
        steps.extend(claims.map(|register| Step::ClaimOther(site, register, false)));
        steps.extend([Step::Agree(site), Step::Wait(WAITS[2])]);
        steps.extend([Step::Promote(site), Step::Activate(site)]);
        let mut world = self.clone();
        for step in steps {
            world = world.after(step, rules)?;
        }
        world.serves(site, rules).then_some(world)
    }

    fn fail(&mut self, site: u8) -> Option<()> {
        let (record, incident, _) = self.mine(site);
        // Closed or taken over: the execution ends either way.
        if let Ok(closed) = ledger::close(&record, &incident, ledger::Ending::Failed, at(self.now))
        {
            self.registers[usize::from(site)] = Register::of(&closed);
        }
        self.end(site);
        Some(())
    }

    fn settle(&mut self, site: u8, register: u8) -> Option<()> {
        let seen = self.seen_from(site);
        let lagging = seen.lagging(&app(), at(self.now));
        let (_, record) = lagging.into_iter().find(|(at, _)| *at == region(register))?;
        self.registers[usize::from(register)] = Register::of(&record);
        Some(())
    }
}

impl Register {
    fn of(record: &ControlRecord) -> Self {
        Self {
            epoch: small(record.epoch),
            site: u8::from(record.active_site.as_str() == SITES[1]),
            reserved: small(record.highest_reserved),
            holder: record.recovery.as_ref().map(|holder| Held {
                number: holder.incident.as_str().bytes().last().unwrap() - b'0',
                epoch: small(holder.epoch),
                claimed: holder.state == HolderState::Claimed,
                failed: holder.state == HolderState::Failed,
                agreed_at: holder.agreed_at.map(since_begin),
                before: holder
                    .agreed_before
                    .as_ref()
                    .map(|before| (small(before.epoch), since_begin(before.left_at))),
            }),
        }
    }

    /// As the real functions take it; `of` is the place of its region.
    fn record(self, of: u8) -> ControlRecord {
        let first = ControlRecord::first(app(), site_name(self.site), at(0));
        let recovery = self.holder.map(|held| Holder {
            incident: incident(of, held.number),
            execution: incident(of, held.number).to_string(),
            target: site_name(of),
            epoch: Epoch(held.epoch.into()),
            opened_at: at(0),
            state: match (held.failed, held.claimed) {
                (true, _) => HolderState::Failed,
                (false, true) => HolderState::Claimed,
                (false, false) => HolderState::Open,
            },
            agreed_at: held.agreed_at.map(at),
            agreed_before: held.before.map(|(epoch, left)| AgreedBefore {
                epoch: Epoch(epoch.into()),
                left_at: at(left),
            }),
        });
        let record = ControlRecord {
            epoch: Epoch(self.epoch.into()),
            highest_reserved: Epoch(self.reserved.into()),
            recovery,
            ..first
        };
        debug_assert!(claim_of(&record).epoch >= FIRST_EPOCH);
        record
    }
}

fn all(answers: [Option<Register>; 3]) -> Registers {
    Registers::new(answers.into_iter().enumerate().map(|(place, register)| {
        let place = u8::try_from(place).unwrap();
        let silent = || Answer::Silent("dark".into());
        (region(place), register.map_or_else(silent, |r| Answer::Holds(r.record(place))))
    }))
}

fn small(epoch: Epoch) -> u8 {
    u8::try_from(epoch.0).unwrap()
}

static APP: LazyLock<AppName> = LazyLock::new(|| "queue".parse().unwrap());
static NAMES: LazyLock<[SiteName; 2]> = LazyLock::new(|| SITES.map(|name| name.parse().unwrap()));
static PLACES: LazyLock<[Region; 3]> = LazyLock::new(|| REGIONS.map(|name| name.parse().unwrap()));

fn app() -> AppName {
    APP.clone()
}

fn site_name(site: u8) -> SiteName {
    NAMES[usize::from(site)].clone()
}

fn region(place: u8) -> Region {
    PLACES[usize::from(place)].clone()
}

fn incident(site: u8, number: u8) -> IncidentId {
    format!("{}-{number}", SITES[usize::from(site)]).parse().unwrap()
}

/// The moment this many half seconds after the beginning.
fn at(halves: u8) -> Timestamp {
    Timestamp::from_second(1_767_268_800).unwrap()
        + SignedDuration::from_millis(500 * i64::from(halves))
}

/// The same by a host's clock and by its uptime, which both run evenly here.
fn moment(halves: u8) -> Moment {
    let uptime = Uptime { boot_id: "boot".to_owned(), millis: 500 * u64::from(halves) };
    Moment { at: at(halves), uptime }
}

/// Half seconds since the beginning, rounded up.
fn since_begin(moment: Timestamp) -> u8 {
    let since = moment.duration_since(at(0)).as_millis();
    u8::try_from((since + 499) / 500).unwrap()
}
