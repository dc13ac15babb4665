//! Machines and cables: network namespaces, and pairs of virtual interfaces between them. Needs root and `ip`.

use std::{
    path::PathBuf,
    process::{Command, Stdio},
};

/// Machines without a link.
#[derive(Default)]
pub(crate) struct Network {
    machines: Vec<String>,
    links: usize,
}

/// A link between two machines.
#[derive(Clone)]
pub(crate) struct Link {
    /// The interface at the first machine.
    interface: String,
    machine: String,
    /// The address of the first machine.
    pub(crate) address: String,
}

impl Network {
    /// `None` where namespaces cannot be made.
    pub(crate) fn new() -> Option<Self> {
        let mut network = Self::default();
        network.add("try").then(|| {
            network.remove();
            network
        })
    }

    /// Adds a machine.
    pub(crate) fn add(&mut self, machine: &str) -> bool {
        let name = namespace(machine);
        let _ = ip(&["netns", "del", &name]);
        self.machines.push(name.clone());
        ip(&["netns", "add", &name]) && ip(&["-n", &name, "link", "set", "lo", "up"])
    }

    /// Lays a cable from `near` to `far`.
    pub(crate) fn link(&mut self, near: &str, far: &str) -> Link {
        self.links += 1;
        let number = self.links;
        let ends = [(namespace(near), format!("v{number}a"), 1), (namespace(far), format!("v{number}b"), 2)];
        let [(near, near_end, _), (far, far_end, _)] = &ends;
        assert!(ip(&["link", "add", near_end, "netns", near, "type", "veth", "peer", "name", far_end, "netns", far]));
        for (machine, end, host) in &ends {
            assert!(ip(&["-n", machine, "addr", "add", &format!("10.98.{number}.{host}/24"), "dev", end]));
            assert!(ip(&["-n", machine, "link", "set", end, "up"]));
        }
        Link { interface: near_end.clone(), machine: near.clone(), address: format!("10.98.{number}.1") }
    }

    fn remove(&mut self) {
        for machine in self.machines.drain(..) {
            let _ = ip(&["netns", "del", &machine]);
        }
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        self.remove();
    }
}

impl Link {
    /// Cuts it, or heals it: packets vanish meanwhile, and no end is told.
    pub(crate) fn set(&self, state: &str) {
        assert!(ip(&["-n", &self.machine, "link", "set", &self.interface, state]));
    }

    /// Ends the connections over it with a reset at the near end. Returns whether the kernel does that.
    pub(crate) fn reset(&self) -> bool {
        let words = ["netns", "exec", &self.machine, "ss", "-K", "-H", "-t", "src", &self.address];
        let output = Command::new("ip").args(words).output();
        output.is_ok_and(|output| !output.stdout.is_empty())
    }
}

/// A command on a machine.
pub(crate) fn on(machine: &str, program: impl Into<PathBuf>) -> Command {
    let mut command = Command::new("ip");
    command.args(["netns", "exec", &namespace(machine)]).arg(program.into());
    command
}

fn namespace(machine: &str) -> String {
    format!("mxr-bench-{machine}")
}

fn ip(words: &[&str]) -> bool {
    Command::new("ip").args(words).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
}
