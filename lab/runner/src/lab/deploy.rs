//! Deploys the templates as they are, packaged by the AWS CLI, as an operator would.
//!
//! The functions' programs are host builds of the same crates that `cargo lambda build` builds for
//! AWS; they stand where the template's `CodeUri` looks for them.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use super::{
    ACTIVE, APP, LabError, SITES, STANDBY, SiteConfig, WITNESS_REGION,
    aws::{between, run},
    config,
    preflight::{FUNCTIONS, Tools},
};
use crate::{clock, lab::Lab, say::Work};

/// The version of CloudFormation's query API.
const CLOUDFORMATION: &str = "2010-05-15";
/// Until a stack is created. It takes about 4 s here.
const DEPLOYED_WITHIN: Duration = Duration::from_secs(120);
/// The template's parameters that turn a schedule on or off.
const SCHEDULES: [&str; 4] = ["ObserveState", "BackupState", "VerifyState", "SweepState"];

impl Lab {
    /// The hosted zone, whose id is the result, and the regional stack in both regions with that of
    /// the app.
    pub(crate) async fn deploy(&self, tools: &Tools) -> Result<String, LabError> {
        let work = Work::begin("deploy the stacks into both regions");
        let zone = self.create_zone("example.test").await?;
        let staged = stage(&self.root, &self.home, tools).await?;
        let parameters = self.stack_parameters(&zone);
        let [first, second] = SITES.map(|site| self.deploy_into(site.region, &staged, &parameters));
        let (first, second, witness) = tokio::join!(first, second, self.deploy_witness());
        first?;
        second?;
        witness?;
        self.deploy_app(APP).await?;
        for site in SITES {
            let topic = format!("arn:aws:sns:{}:000000000000:lifeboat-notifications", site.region);
            let endpoint = format!("http://{}/sns", config::CAPTURE);
            let subscription =
                [("TopicArn", topic.as_str()), ("Protocol", "http"), ("Endpoint", &endpoint)];
            self.aws.query(site.region, "sns", "2010-03-31", "Subscribe", &subscription).await?;
        }
        work.done();
        Ok(zone)
    }

    /// What the regional stacks are made with, schedules and peer left out.
    fn stack_parameters(&self, zone: &str) -> Vec<(&'static str, String)> {
        let records = self.options.switch_by_record;
        let zones =
            if records { format!("arn:aws:route53:::hostedzone/{zone}") } else { String::new() };
        vec![
            ("Environment", "lab".to_owned()),
            // What one way of moving clients needs, the other does without.
            ("HealthCheckSwitch", if records { "DISABLED" } else { "ENABLED" }.to_owned()),
            ("HostedZoneArns", zones),
            ("RecoveryConcurrency", "10".to_owned()),
            ("ObserveConcurrency", "20".to_owned()),
        ]
    }

    /// The third register's region.
    async fn deploy_witness(&self) -> Result<(), LabError> {
        let template = read(&self.root.join("infra/witness.yaml"))?;
        let template = ("TemplateBody", template.as_str());
        let parameters = [("Environment", "lab")];
        self.create_stack(WITNESS_REGION, "lifeboat-witness", template, &parameters).await
    }

    /// The stacks of an app, with the policies of its hosts.
    pub(crate) async fn deploy_app(&self, app: &str) -> Result<(), LabError> {
        let template = read(&self.root.join("infra/app.yaml"))?;
        for site in SITES {
            let template = ("TemplateBody", template.as_str());
            self.create_stack(site.region, &app_stack(app), template, &[("App", app)]).await?;
        }
        Ok(())
    }

    /// Uploads the programs into a bucket of the region, and creates the stack from there: a
    /// region's stack needs nothing of another region.
    async fn deploy_into(
        &self,
        region: &str,
        staged: &Path,
        parameters: &[(&'static str, String)],
    ) -> Result<(), LabError> {
        let bucket = format!("lifeboat-artifacts-000000000000-{region}");
        let put = reqwest::Method::PUT;
        let location = match region {
            // S3's oldest region is the one that must not be named.
            "us-east-1" => String::new(),
            region => format!(
                "<CreateBucketConfiguration xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">\
                 <LocationConstraint>{region}</LocationConstraint></CreateBucketConfiguration>"
            ),
        };
        self.aws.rest(put, region, "s3", &format!("/{bucket}"), location).await?;
        let packaged =
            staged.join(format!("packaged-{region}.yaml")).to_string_lossy().into_owned();
        let template = staged.join("infra/template.yaml").to_string_lossy().into_owned();
        let package = ["--s3-bucket", &bucket, "--output-template-file", &packaged];
        let mut arguments = vec!["cloudformation", "package", "--template-file", &template];
        arguments.extend(package);
        self.aws.cli(region, &arguments).await?;
        let template = read(Path::new(&packaged))?;
        // Above 51,200 bytes a template is given by the place where it lies.
        let key = "lifeboat.yaml";
        self.aws.put_object(region, &bucket, key, template.into_bytes(), &[]).await?;
        let template = format!("https://s3.{region}.amazonaws.com/{bucket}/{key}");
        let mut parameters: Vec<(&str, &str)> =
            parameters.iter().map(|(name, value)| (*name, value.as_str())).collect();
        parameters.extend(SCHEDULES.map(|name| (name, "DISABLED")));
        let template = ("TemplateURL", template.as_str());
        self.create_stack(region, "lifeboat", template, &parameters).await
    }

    /// Turns the schedules on: from now on both regions watch. The stacks were made without, so
    /// that the first tick finds a plan.
    pub(crate) async fn start_observing(&self) -> Result<(), LabError> {
        self.turn_schedules(&[("ObserveState", true)]).await
    }

    /// Updates both regions' stacks so that these schedules are on or off; whatever is not named
    /// stays as it is.
    pub(crate) async fn turn_schedules(&self, states: &[(&str, bool)]) -> Result<(), LabError> {
        for site in SITES {
            let mut parameters = vec![("PeerRegion", site.peer_region)];
            parameters.extend(
                states.iter().map(|(name, on)| (*name, if *on { "ENABLED" } else { "DISABLED" })),
            );
            let mut form = stack_form("lifeboat", &parameters);
            let named: Vec<&str> = parameters.iter().map(|(name, _)| *name).collect();
            let made_with = self.stack_parameters("").into_iter().map(|(name, _)| name);
            let others = SCHEDULES.into_iter().chain(made_with);
            let others = others.filter(|name| !named.contains(name));
            for (place, name) in others.enumerate() {
                let member = format!("Parameters.member.{}", parameters.len() + place + 1);
                form.push((format!("{member}.ParameterKey"), name.to_owned()));
                form.push((format!("{member}.UsePreviousValue"), "true".to_owned()));
            }
            let mut form: Vec<(&str, &str)> =
                form.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
            form.push(("UsePreviousTemplate", "true"));
            let api = "cloudformation";
            self.aws.query(site.region, api, CLOUDFORMATION, "UpdateStack", &form).await?;
            self.wait_for_stack(site.region, "lifeboat", "UPDATE_COMPLETE").await?;
        }
        Ok(())
    }

    /// Creates a stack and waits for it, looking more often than the CLI's 30 s.
    async fn create_stack(
        &self,
        region: &str,
        name: &str,
        template: (&str, &str),
        parameters: &[(&str, &str)],
    ) -> Result<(), LabError> {
        let form = stack_form(name, parameters);
        let mut form: Vec<(&str, &str)> =
            form.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        form.push(template);
        let api = "cloudformation";
        self.aws.query(region, api, CLOUDFORMATION, "CreateStack", &form).await?;
        self.wait_for_stack(region, name, "CREATE_COMPLETE").await
    }

    async fn wait_for_stack(&self, region: &str, name: &str, wanted: &str) -> Result<(), LabError> {
        let question = [("StackName", name)];
        let status = clock::find(DEPLOYED_WITHIN, || async {
            let api = "cloudformation";
            let answer =
                self.aws.query(region, api, CLOUDFORMATION, "DescribeStacks", &question).await;
            let status = between(&answer.ok()?, "<StackStatus>", "<")?;
            (!status.ends_with("_IN_PROGRESS")).then_some(status)
        })
        .await;
        if status.as_deref() == Some(wanted) {
            return Ok(());
        }
        Err(LabError::new(format!(
            "stack {name} in {region} is {}: see `aws cloudformation describe-stack-events \
             --stack-name {name}`, and target/lab/emulator.log",
            status.as_deref().unwrap_or("still being created")
        )))
    }

    async fn create_zone(&self, name: &str) -> Result<String, LabError> {
        let create = format!(
            "<?xml version=\"1.0\"?><CreateHostedZoneRequest \
             xmlns=\"https://route53.amazonaws.com/doc/2013-04-01/\">\
             <Name>{name}</Name><CallerReference>lab-{name}</CallerReference>\
             </CreateHostedZoneRequest>"
        );
        let post = reqwest::Method::POST;
        let answer =
            self.aws.rest(post, ACTIVE.region, "route53", "/2013-04-01/hostedzone", create).await?;
        between(&answer, "<Id>/hostedzone/", "<")
            .ok_or_else(|| LabError::new("Route 53 named no hosted zone"))
    }

    /// The failover records (or a plain one) in the hosted zone.
    pub(crate) async fn create_records(&self, zone: &str) -> Result<(), LabError> {
        if self.options.aliased {
            self.create_load_balancers().await?;
        }
        if self.options.switch_by_record {
            self.create_plain_record(zone).await
        } else {
            self.deploy_failover_records(zone).await
        }
    }

    /// A zone of AWS's own, with a name for the load balancer of each site. They have the 60 s that
    /// Elastic Load Balancing gives its names.
    async fn create_load_balancers(&self) -> Result<(), LabError> {
        let zone = self.create_zone(LOAD_BALANCERS).await?;
        for site in SITES {
            let name = load_balancer(&site);
            let address = site.app().ip().to_string();
            let records = format!("<TTL>60</TTL>{}", values(&address));
            self.upsert(&zone, &name, &records).await?;
        }
        self.load_balancers.set(zone).map_err(|_| LabError::new("two zones of load balancers"))
    }

    /// The zone of the load balancers' names; none without them.
    pub(super) fn load_balancer_zone(&self) -> Option<&str> {
        self.load_balancers.get().map(String::as_str)
    }

    async fn create_plain_record(&self, zone: &str) -> Result<(), LabError> {
        let records = match self.load_balancer_zone() {
            None => format!("<TTL>5</TTL>{}", values(&ACTIVE.app().ip().to_string())),
            Some(target) => format!(
                "<AliasTarget><HostedZoneId>{target}</HostedZoneId><DNSName>{}</DNSName>\
                 <EvaluateTargetHealth>false</EvaluateTargetHealth></AliasTarget>",
                load_balancer(&ACTIVE)
            ),
        };
        self.upsert(zone, "queue.example.test", &records).await
    }

    async fn upsert(&self, zone: &str, name: &str, records: &str) -> Result<(), LabError> {
        let change = format!(
            "<?xml version=\"1.0\"?><ChangeResourceRecordSetsRequest \
             xmlns=\"https://route53.amazonaws.com/doc/2013-04-01/\"><ChangeBatch><Changes><Change>\
             <Action>UPSERT</Action><ResourceRecordSet><Name>{name}</Name><Type>A</Type>{records}\
             </ResourceRecordSet></Change></Changes></ChangeBatch></ChangeResourceRecordSetsRequest>"
        );
        let path = format!("/2013-04-01/hostedzone/{zone}/rrset/");
        self.aws
            .rest(reqwest::Method::POST, ACTIVE.region, "route53", &path, change)
            .await
            .map(|_| ())
    }

    async fn deploy_failover_records(&self, zone: &str) -> Result<(), LabError> {
        let template = read(&self.root.join("infra/dns.yaml"))?;
        let (primary, secondary) = (ACTIVE.app().ip().to_string(), STANDBY.app().ip().to_string());
        let (first, second) = (load_balancer(&ACTIVE), load_balancer(&STANDBY));
        let mut parameters = vec![
            ("App", APP),
            ("Name", "queue.example.test"),
            ("HostedZoneId", zone),
            ("SecondarySite", STANDBY.name),
            ("SecondaryRegion", STANDBY.region),
        ];
        match self.load_balancer_zone() {
            None => parameters.extend([
                ("PrimaryAddress", primary.as_str()),
                ("SecondaryAddress", secondary.as_str()),
            ]),
            Some(target) => parameters.extend([
                ("PrimaryAliasName", first.as_str()),
                ("PrimaryAliasZone", target),
                ("SecondaryAliasName", second.as_str()),
                ("SecondaryAliasZone", target),
            ]),
        }
        let template = ("TemplateBody", template.as_str());
        self.create_stack(STANDBY.region, "lifeboat-dns-queue", template, &parameters).await
    }
}

/// The name of an app's stack in a region.
pub(super) fn app_stack(app: &str) -> String {
    format!("lifeboat-app-{app}")
}

/// The zone that stands for the one in which AWS keeps the names of load balancers.
const LOAD_BALANCERS: &str = "elb.test";

/// The name of a site's load balancer.
pub(super) fn load_balancer(site: &SiteConfig) -> String {
    format!("lb-{}.{LOAD_BALANCERS}", site.name)
}

fn values(address: &str) -> String {
    format!(
        "<ResourceRecords><ResourceRecord><Value>{address}</Value></ResourceRecord></ResourceRecords>"
    )
}

/// The parts of a request that creating and updating a stack share.
fn stack_form(name: &str, parameters: &[(&str, &str)]) -> Vec<(String, String)> {
    let mut form = vec![
        ("StackName".to_owned(), name.to_owned()),
        ("Capabilities.member.1".to_owned(), "CAPABILITY_IAM".to_owned()),
        ("Capabilities.member.2".to_owned(), "CAPABILITY_AUTO_EXPAND".to_owned()),
    ];
    for (place, (key, value)) in parameters.iter().enumerate() {
        let member = format!("Parameters.member.{}", place + 1);
        form.push((format!("{member}.ParameterKey"), (*key).to_owned()));
        form.push((format!("{member}.ParameterValue"), (*value).to_owned()));
    }
    form
}

fn read(path: &Path) -> Result<String, LabError> {
    std::fs::read_to_string(path).map_err(|error| failed(path, &error))
}

/// A copy of `infra` whose functions are archives, which `package` uploads as they are: packing
/// eleven programs once a region took most of the time of a deployment.
async fn stage(root: &Path, home: &Path, tools: &Tools) -> Result<PathBuf, LabError> {
    let staged = home.join("deploy");
    copy_tree(&root.join("infra"), &staged.join("infra")).map_err(|e| failed(&staged, &e))?;
    let path = staged.join("infra/template.yaml");
    let mut template = read(&path)?;
    for function in FUNCTIONS {
        let archive = packed(root, home, tools, function).await?;
        let folder = format!("CodeUri: ../target/lambda/{function}/\n");
        if template.matches(&folder).count() != 1 {
            return Err(LabError::new(format!("the template has not one `{}`", folder.trim())));
        }
        template = template.replace(&folder, &format!("CodeUri: {}\n", archive.display()));
    }
    std::fs::write(&path, template).map_err(|error| failed(&path, &error))?;
    Ok(staged)
}

/// A function's program without its debug information, in an archive that is kept until the program
/// is another one.
async fn packed(
    root: &Path,
    home: &Path,
    tools: &Tools,
    function: &str,
) -> Result<PathBuf, LabError> {
    let program = tools.bin.join(function);
    let about = std::fs::metadata(&program).map_err(|error| failed(&program, &error))?;
    let built = about.modified().map_err(|error| failed(&program, &error))?;
    let built = built.duration_since(std::time::UNIX_EPOCH).unwrap_or_default().as_nanos();
    let kept = root.join("target/lab-programs").join(function);
    let archive = kept.join(format!("{}-{built}.zip", about.len()));
    if archive.exists() {
        return Ok(archive);
    }
    let fresh = home.join("deploy/programs").join(function);
    std::fs::create_dir_all(&fresh).map_err(|error| failed(&fresh, &error))?;
    let [from, to, zip] = [program, fresh.join("bootstrap"), fresh.join("function.zip")];
    let [from_text, to, zip_text] =
        [&from, &to, &zip].map(|path| path.to_string_lossy().into_owned());
    run(Path::new("strip"), &["-o", &to, &from_text], Vec::new(), None).await?;
    let pack = ["-1", "--quiet", "--junk-paths", &zip_text, &to];
    run(Path::new("zip"), &pack, Vec::new(), None).await?;
    // Only what is whole gets the name; those of older programs are of no more use.
    let _older = std::fs::remove_dir_all(&kept);
    std::fs::create_dir_all(&kept).map_err(|error| failed(&kept, &error))?;
    std::fs::rename(&zip, &archive).map_err(|error| failed(&archive, &error))?;
    Ok(archive)
}

fn failed(path: &Path, error: &std::io::Error) -> LabError {
    LabError::from_error(&path.display().to_string(), error)
}

fn copy_tree(from: &Path, to: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_tree(&entry.path(), &target)?;
        } else {
            std::fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}
