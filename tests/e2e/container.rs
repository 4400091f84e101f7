//! The host in the file system of its container image, as an orchestrator would run it: an unprivileged user without capabilities,
//! nothing writable but the folder of the state, a network of its own.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, geteuid, kill_process};
use serde_json::Value;
use tempfile::TempDir;
use tests::host::PATIENCE;
use tests::{image, programs};
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep, timeout};

/// Makes the namespaces; Debian's package of the same name.
const TOOL: &str = "bwrap";
/// The user of the image.
const USER: u32 = 65532;
/// What the image may weigh on a node. A release build has about 50 MB; the host under test is not optimised.
const BYTES_MAX: u64 = 200 << 20;
const POLL: Duration = Duration::from_millis(50);
const MANIFEST: &str = r#"
spin_manifest_version = 2
[application]
name = "in-a-container"
[[trigger.http]]
route = "/hello/..."
component = "hello"
[component.hello]
source = "hello.wasm"
[[trigger.http]]
route = "/misbehave/..."
component = "misbehave"
[component.misbehave]
source = "misbehave.wasm"
dependencies = { "bodega:misbehave/table@1.0.0" = { path = "table.wasm" } }
"#;

const GATEWAY: &str = "[[rules]]\npath = \"/hello/closed\"\ndeny = true\n";

/// The root filesystem, an application and a folder for the state.
struct Container {
    folder: TempDir,
}

/// A host that runs in a [`Container`].
struct Running {
    sandbox: Child,
    /// The host's process id outside of its namespace; inside it is 1.
    pid: u32,
}

fn tool_is_missing() -> bool {
    let missing = std::process::Command::new(TOOL).arg("--version").output().is_err();
    assert!(!missing || std::env::var_os("CI").is_none(), "`{TOOL}` is not installed");
    if missing {
        println!("skipped, since `{TOOL}` is not installed (apt-get install bubblewrap)");
    }
    missing
}

/// Packs the root filesystem of the host under test.
async fn pack(archive: &Path) {
    let script = programs::repository().join("container/rootfs.sh");
    let status = Command::new(script).arg(programs::host()).arg(archive).status().await;
    assert!(status.expect("the script runs").success());
}

impl Container {
    async fn new() -> Self {
        let folder = TempDir::with_prefix("bodega-test-").expect("a folder for the test");
        let container = Self { folder };
        // The user of the image has to get to it.
        fs::set_permissions(container.folder.path(), fs::Permissions::from_mode(0o755)).expect("it is ours");
        for name in ["root", "app", "state"] {
            fs::create_dir(container.path(name)).expect("the folder is writable");
        }
        if geteuid().is_root() {
            chown(container.path("state"), Some(USER), Some(USER)).expect("root may do that");
        }
        container.unpack().await;
        fs::write(container.path("app/spin.toml"), MANIFEST).expect("the folder is writable");
        fs::write(container.path("app/gateway.toml"), GATEWAY).expect("the folder is writable");
        for guest in ["hello", "misbehave"] {
            fs::copy(programs::component(guest), container.path(&format!("app/{guest}.wasm"))).expect("a copy");
        }
        let table = wat::parse_file(programs::repository().join("tests/guests/misbehave/table.wat"));
        fs::write(container.path("app/table.wasm"), table.expect("it is a component")).expect("the folder is writable");
        container
    }

    async fn unpack(&self) {
        pack(&self.path("root.tar")).await;
        let mut tar = Command::new("tar");
        tar.arg("--extract").arg("--file").arg(self.path("root.tar")).arg("--directory").arg(self.path("root"));
        assert!(tar.status().await.expect("tar runs").success());
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Starts the host as process 1, with the environment of the image.
    async fn run(&self) -> Running {
        let mut command = match geteuid().is_root() {
            // Being root in a namespace would be enough to write to files of root's.
            true => {
                let mut command = Command::new("setpriv");
                command.arg(format!("--reuid={USER}")).arg(format!("--regid={USER}")).args(["--clear-groups", TOOL]);
                command
            }
            false => Command::new(TOOL),
        };
        let mut variables = Vec::new();
        for (name, value) in image::environment() {
            variables.extend(["--setenv".to_owned(), name, value]);
        }
        command
            .args(["--unshare-all", "--as-pid-1", "--die-with-parent", "--cap-drop", "ALL", "--clearenv"])
            .arg("--ro-bind")
            .arg(self.path("root"))
            .arg("/")
            .args(["--proc", "/proc", "--dev", "/dev"])
            .arg("--ro-bind")
            .arg(self.path("app"))
            .arg("/app")
            .arg("--bind")
            .arg(self.path("state"))
            .arg("/var/lib/bodega")
            .args(["--remount-ro", "/dev", "--chdir", "/var/lib/bodega"])
            .args(variables)
            .args(["--json-status-fd", "2", "/usr/bin/bodega", "up", "-f", "/app/spin.toml", "--readiness-delay-ms=0"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::File::create(self.path("stderr")).expect("the folder is writable"))
            .kill_on_drop(true);
        let sandbox = command.spawn().expect("the sandbox starts");
        let mut running = Running { sandbox, pid: 0 };
        running.pid = self.announced_pid().await;
        running.until_ready(self).await;
        running
    }

    /// The process id of the host, in the first line that the sandbox writes.
    async fn announced_pid(&self) -> u32 {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let text = self.log();
            let status = text.lines().find_map(|line| serde_json::from_str::<Value>(line).ok());
            match status.and_then(|status| status["child-pid"].as_u64()) {
                Some(pid) => return pid.try_into().expect("a process id"),
                None if Instant::now() > deadline => panic!("no process: {text}"),
                None => sleep(POLL).await,
            }
        }
    }

    fn log(&self) -> String {
        fs::read_to_string(self.path("stderr")).expect("it was created")
    }
}

impl Running {
    /// Asks the host from inside of its network.
    fn curl(&self, url: &str) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--target={}", self.pid)).args(["--user", "--preserve-credentials", "--net"]);
        command.args(["curl", "--silent", "--show-error", "--fail", "--noproxy", "*", url]);
        command.kill_on_drop(true);
        command
    }

    async fn get(&self, url: &str) -> Output {
        timeout(PATIENCE, self.curl(url).output()).await.expect("an answer in time").expect("curl runs")
    }

    async fn until_ready(&mut self, container: &Container) {
        let deadline = Instant::now() + PATIENCE;
        while !self.get("http://127.0.0.1:8080/readyz").await.status.success() {
            let ended = self.sandbox.try_wait().expect("it is our child");
            assert!(ended.is_none() && Instant::now() < deadline, "not ready ({ended:?}): {}", container.log());
            sleep(POLL).await;
        }
    }

    /// A value of the process's status, as the kernel shows it.
    fn status(&self, name: &str) -> String {
        let text = fs::read_to_string(format!("/proc/{}/status", self.pid)).expect("it is running");
        let line = text.lines().find_map(|line| line.strip_prefix(&format!("{name}:")));
        line.expect("the kernel knows it").trim().to_owned()
    }

    /// The file systems that the process may write to, but for those that the kernel makes up.
    fn writable(&self) -> Vec<String> {
        let text = fs::read_to_string(format!("/proc/{}/mountinfo", self.pid)).expect("it is running");
        let fields = text.lines().map(|line| line.split(' ').collect::<Vec<_>>());
        let writable = fields.filter(|fields| fields[5].split(',').any(|option| option == "rw"));
        let places = writable.map(|fields| fields[4].to_owned());
        places.filter(|place| place != "/proc" && !place.starts_with("/dev/")).collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_image_has_the_host_and_what_it_needs_and_is_the_same_each_time() {
    let folder = TempDir::with_prefix("bodega-test-").expect("a folder for the test");
    let (one, other) = (folder.path().join("one.tar"), folder.path().join("other.tar"));
    pack(&one).await;
    pack(&other).await;
    let bytes = fs::read(&one).expect("it was written");
    assert!(bytes == fs::read(&other).expect("it was written"), "two archives of one program differ");
    assert!((bytes.len() as u64) < BYTES_MAX, "{} bytes", bytes.len());

    let list = Command::new("tar").arg("-tvf").arg(&one).arg("--numeric-owner").output().await.expect("tar runs");
    let list = String::from_utf8(list.stdout).expect("plain names");
    for line in list.lines() {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let (mode, owner, path) = (fields[0], fields[1], fields[5]);
        assert!(!mode.contains('s'), "with the rights of its owner: {line}");
        assert!(!path.contains("/bin/") || matches!(path, "./usr/bin/" | "./usr/bin/bodega"), "a program: {line}");
        assert_eq!(owner, if path == "./var/lib/bodega/" { "65532/65532" } else { "0/0" }, "{line}");
    }
    for path in [
        "./usr/bin/bodega",
        "./etc/ssl/certs/ca-certificates.crt",
        "./etc/passwd",
        "./tmp/",
        "./app/",
        "./var/lib/bodega/",
    ] {
        assert!(list.lines().any(|line| line.ends_with(&format!(" {path}"))), "{path} is not in\n{list}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn it_serves_without_rights_on_a_read_only_root_and_drains() {
    if tool_is_missing() {
        return;
    }
    let container = Container::new().await;
    let mut host = container.run().await;

    for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
        assert_eq!(host.status(set), "0000000000000000", "{set}");
    }
    assert_eq!(host.status("NoNewPrivs"), "1");
    assert_ne!(host.status("Uid").split_whitespace().next(), Some("0"));
    assert!(host.status("NSpid").ends_with("\t1"), "it is process 1: {}", host.status("NSpid"));
    assert_eq!(host.writable(), ["/var/lib/bodega"]);

    for probe in ["livez", "readyz", "startupz", ".well-known/spin/health"] {
        let answer = host.get(&format!("http://127.0.0.1:8080/{probe}")).await;
        assert!(answer.status.success(), "{probe}: {answer:?}");
    }
    assert_eq!(host.get("http://127.0.0.1:8080/hello/").await.stdout, b"Hello, world!\n");
    let closed = host.get("http://127.0.0.1:8080/hello/closed").await;
    assert!(String::from_utf8_lossy(&closed.stderr).contains("403"), "its gateway.toml is in force: {closed:?}");
    let metrics = String::from_utf8(host.get("http://127.0.0.1:3001/metrics").await.stdout).expect("a text");
    assert!(metrics.contains("bodega_http_requests_total{component=\"hello\""), "{metrics}");

    let mut slow = host.curl("http://127.0.0.1:8080/misbehave/slow?ms=2000");
    let slow = slow.stdout(Stdio::piped()).spawn().expect("curl runs");
    sleep(Duration::from_millis(700)).await;
    kill_process(Pid::from_raw(host.pid.cast_signed()).expect("not 0"), Signal::TERM).expect("it is running");
    let answer = timeout(PATIENCE, slow.wait_with_output()).await.expect("an answer in time").expect("curl ends");
    assert_eq!(answer.stdout, b"slow", "the request that was on its way is answered");
    let end = timeout(PATIENCE, host.sandbox.wait()).await.expect("it ends in time").expect("it is our child");
    assert_eq!(end.code(), Some(0), "{}", container.log());
    assert!(container.path("state/state/secrets").is_dir(), "what it keeps is in the folder of the state");
}
