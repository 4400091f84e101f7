//! The other host: `wasmtime serve`, installed by the benchmark and run with the settings that suit it best.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::load::Load;
use crate::server::Server;

/// The version that the host's engine has, too.
pub(crate) const VERSION: &str = "48.0.8";
const FEATURES: &str =
    "run,serve,compile,cranelift,pooling-allocator,component-model,component-model-async,parallel-compilation";
/// Without `cli=y` it offers only the interfaces of a proxy, and a Rust program imports more.
const SETTINGS: [&str; 6] = ["-O", "pooling-allocator=y", "-S", "cli=y,p3=y", "-W", "component-model-async=y"];
/// Requests per instance, and of these at once: among them its defaults, 128 and 16.
const REUSES: [Reuse; 6] = [
    Reuse { count: 128, concurrent: 16 },
    Reuse { count: 128, concurrent: 1 },
    Reuse { count: 10_000, concurrent: 1 },
    Reuse { count: 10_000, concurrent: 16 },
    Reuse { count: 1_000_000, concurrent: 16 },
    Reuse { count: 1_000_000, concurrent: 64 },
];
const TRIAL_CONNECTIONS: usize = 16;

/// The program `wasmtime` and a component that it has compiled ahead of time.
pub(crate) struct Wasmtime {
    program: PathBuf,
    component: PathBuf,
    folder: PathBuf,
}

/// How `wasmtime serve` reuses instances.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Reuse {
    count: usize,
    concurrent: usize,
}

impl Wasmtime {
    /// Installs the program below `target` unless it is there, and compiles `component` into `folder`.
    pub(crate) fn prepare(target: &Path, component: &Path, folder: &Path) -> Result<Self> {
        let root = target.join("bench").join(format!("wasmtime-{VERSION}"));
        let program = root.join("bin").join("wasmtime");
        if !program.exists() {
            let mut install = Command::new("cargo");
            install.args(["install", "wasmtime-cli", "--locked", "--version", VERSION, "--no-default-features"]);
            run(install.args(["--features", FEATURES, "--root"]).arg(&root))?;
        }
        let compiled = folder.join("hello.cwasm");
        run(Command::new(&program).arg("compile").args(SETTINGS).arg("-o").arg(&compiled).arg(component))?;
        Ok(Self { program, component: compiled, folder: folder.to_owned() })
    }

    /// Serves the component, and tells how long it took until the first answer.
    pub(crate) fn serve(&self, reuse: Reuse) -> Result<(Server, Duration)> {
        let command = |address: SocketAddr| {
            let mut command = Command::new(&self.program);
            command.arg("serve").args(SETTINGS).arg("--allow-precompiled").arg(format!("--addr={address}"));
            command.arg(format!("--max-instance-reuse-count={}", reuse.count));
            command.arg(format!("--max-instance-concurrent-reuse-count={}", reuse.concurrent));
            command.arg(&self.component);
            command
        };
        Server::start(command, "/", &self.folder.join("wasmtime.log"))
    }

    /// The reuse with the most requests per second, by trials of `duration` each.
    pub(crate) fn best_reuse(&self, duration: Duration) -> Result<Reuse> {
        let mut best: Option<(f64, Reuse)> = None;
        for reuse in REUSES {
            let (server, _) = self.serve(reuse)?;
            let rate = Load::get(server.url("/"), TRIAL_CONNECTIONS).run(duration)?.requests_per_s;
            if best.is_none_or(|(most, _)| rate > most) {
                best = Some((rate, reuse));
            }
        }
        Ok(best.context("there are settings to try")?.1)
    }

    /// The options of `wasmtime serve` for the report.
    pub(crate) fn options(reuse: Reuse) -> String {
        let Reuse { count, concurrent } = reuse;
        let settings = SETTINGS.join(" ");
        format!("{settings} --max-instance-reuse-count={count} --max-instance-concurrent-reuse-count={concurrent}")
    }
}

impl Default for Reuse {
    /// What `wasmtime serve` has without options.
    fn default() -> Self {
        REUSES[0]
    }
}

fn run(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("{:?} does not run", command.get_program()))?;
    ensure!(status.success(), "{command:?}: {status}");
    Ok(())
}
