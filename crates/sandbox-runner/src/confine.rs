//! Locks the process in and becomes the command: Landlock first (it sets no_new_privs), then seccomp, then exec. Whatever the
//! cluster's own profiles are, a command of the analyze lane has no network, and none can write outside its own folder, open
//! `/proc`, or read the request.
//!
//! It must never run the command when a layer could not be put in place: it ends with `DEGRADED` instead.

use std::collections::BTreeMap;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, ExitCode};

use landlock::{
    ABI, Access, AccessFs, AccessNet, CompatLevel, Compatible, NetPort, Ruleset, RulesetAttr, RulesetCreatedAttr,
    RulesetStatus, Scope, make_bitflags, path_beneath_rules,
};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
    TargetArch, apply_filter,
};

/// First argument of the re-execution.
pub const SUBCOMMAND: &str = "exec-confined";
/// Exit code when a layer could not be put in place.
pub const DEGRADED: u8 = 126;
/// Environment variable that names the command's own folder.
pub const OWN_DIR: &str = "TMPDIR";
/// Where a pod's token lives.
const TOKEN_DIR: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

type Failure = Box<dyn std::error::Error>;

/// Locks in and becomes the command. Returns only on failure.
pub fn main(lane: &str, command: &[&str]) -> ExitCode {
    let network = lane != "analyze";
    let port = std::env::var("KUBERNETES_SERVICE_PORT")
        .ok()
        .and_then(|p| p.parse().ok())
        .unwrap_or(443);
    let own = std::env::var(OWN_DIR).unwrap_or_else(|_| "/tmp".to_owned());
    let Some((program, args)) = command.split_first() else {
        return ExitCode::from(64);
    };
    let locked = landlock(network, port, Path::new(&own)).and_then(|()| seccomp(network));
    if let Err(error) = locked {
        eprintln!("SandboxDegraded: {error}");
        return ExitCode::from(DEGRADED);
    }
    let mut exec = Command::new(program);
    exec.args(args);
    // The API server's address is for the runner; the command finds it in its kubeconfig.
    exec.env_remove("KUBERNETES_SERVICE_PORT");
    let error = exec.exec();
    eprintln!("{program}: {error}");
    ExitCode::from(127)
}

/// Files: programs and libraries readable, the command's own folder writable, evidence readable, the rest closed. Network: only
/// the API server's port, where the kernel can.
fn landlock(network: bool, port: u16, own: &Path) -> Result<(), Failure> {
    let write = AccessFs::from_all(ABI::V3)
        & !(AccessFs::Execute | AccessFs::MakeChar | AccessFs::MakeBlock | AccessFs::MakeSock);
    // The rules on files must hold; those that newer kernels add hold where they can.
    let mut rules = Ruleset::default()
        .set_compatibility(CompatLevel::HardRequirement)
        .handle_access(AccessFs::from_all(ABI::V3))?
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(ABI::V6))?
        .handle_access(AccessNet::from_all(ABI::V6))?
        .scope(Scope::from_all(ABI::V6))?
        .create()?;
    rules = rules.add_rules(path_beneath_rules(
        ["/usr", "/lib", "/lib64", "/bin", "/sbin"],
        AccessFs::from_read(ABI::V1),
    ))?;
    rules = rules.add_rules(path_beneath_rules(
        ["/etc", "/evidence"],
        AccessFs::ReadFile | AccessFs::ReadDir,
    ))?;
    rules = rules.add_rules(path_beneath_rules([own], write))?;
    rules = rules.add_rules(path_beneath_rules(
        ["/dev/null"],
        AccessFs::ReadFile | AccessFs::WriteFile,
    ))?;
    rules = rules.add_rules(path_beneath_rules(
        ["/dev/zero", "/dev/urandom", "/dev/random"],
        make_bitflags!(AccessFs::{ReadFile}),
    ))?;
    if network {
        rules = rules.add_rules(path_beneath_rules([TOKEN_DIR], AccessFs::ReadFile | AccessFs::ReadDir))?;
        rules = rules.add_rule(NetPort::new(port, AccessNet::ConnectTcp))?;
    }
    let status = rules.restrict_self()?;
    if status.ruleset == RulesetStatus::NotEnforced || !status.no_new_privs {
        return Err("Landlock is not enforced".into());
    }
    Ok(())
}

/// x32 calls share the architecture's audit number and must be refused too.
const X32: i64 = 0x4000_0000;

fn add(rules: &mut BTreeMap<i64, Vec<SeccompRule>>, call: i64, when: Vec<SeccompRule>) {
    if cfg!(target_arch = "x86_64") {
        rules.insert(call | X32, when.clone());
    }
    rules.insert(call, when);
}

/// Two filters, because one filter has one answer: `ENOSYS` for what libraries fall back from, `EPERM` for the rest.
fn seccomp(network: bool) -> Result<(), Failure> {
    let mut absent = BTreeMap::new();
    for call in [
        libc::SYS_clone3,
        libc::SYS_io_uring_setup,
        libc::SYS_io_uring_enter,
        libc::SYS_io_uring_register,
    ] {
        add(&mut absent, call, Vec::new());
    }
    let mut denied = BTreeMap::new();
    for call in DENIED {
        add(&mut denied, *call, Vec::new());
    }
    let namespaces = u64::try_from(
        libc::CLONE_NEWNS
            | libc::CLONE_NEWUSER
            | libc::CLONE_NEWPID
            | libc::CLONE_NEWNET
            | libc::CLONE_NEWIPC
            | libc::CLONE_NEWUTS
            | libc::CLONE_NEWCGROUP,
    )?;
    let mut clones = Vec::new();
    for bit in (0..64).map(|n| 1_u64 << n).filter(|bit| namespaces & bit != 0) {
        clones.push(SeccompRule::new(vec![SeccompCondition::new(
            0,
            SeccompCmpArgLen::Qword,
            SeccompCmpOp::MaskedEq(bit),
            bit,
        )?])?);
    }
    add(&mut denied, libc::SYS_clone, clones);
    if network {
        let domain = |domain: i32, op: SeccompCmpOp| {
            SeccompCondition::new(0, SeccompCmpArgLen::Dword, op, u64::from(domain.unsigned_abs()))
        };
        let kind = |kind: i32| {
            SeccompCondition::new(
                1,
                SeccompCmpArgLen::Dword,
                SeccompCmpOp::MaskedEq(0xf),
                u64::from(kind.unsigned_abs()),
            )
        };
        // Anything but IPv4 and IPv6, and there only streams: no resolver, no raw packets.
        let mut sockets = vec![SeccompRule::new(vec![
            domain(libc::AF_INET, SeccompCmpOp::Ne)?,
            domain(libc::AF_INET6, SeccompCmpOp::Ne)?,
        ])?];
        for other in [libc::SOCK_DGRAM, libc::SOCK_RAW] {
            sockets.push(SeccompRule::new(vec![kind(other)?])?);
        }
        add(&mut denied, libc::SYS_socket, sockets);
    } else {
        add(&mut denied, libc::SYS_socket, Vec::new());
        add(&mut denied, libc::SYS_connect, Vec::new());
    }
    for (rules, errno) in [(absent, libc::ENOSYS), (denied, libc::EPERM)] {
        let refuse = SeccompAction::Errno(errno.unsigned_abs());
        let program: BpfProgram = SeccompFilter::new(rules, SeccompAction::Allow, refuse, arch()?)?.try_into()?;
        apply_filter(&program)?;
    }
    Ok(())
}

fn arch() -> Result<TargetArch, Failure> {
    Ok(std::env::consts::ARCH.try_into()?)
}

const DENIED: &[i64] = &[
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_pidfd_getfd,
    libc::SYS_pidfd_open,
    libc::SYS_kcmp,
    libc::SYS_keyctl,
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_unshare,
    libc::SYS_setns,
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_move_mount,
    libc::SYS_open_tree,
    libc::SYS_fsopen,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fspick,
    libc::SYS_mount_setattr,
    libc::SYS_userfaultfd,
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_kexec_load,
    libc::SYS_kexec_file_load,
    libc::SYS_reboot,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_open_by_handle_at,
    libc::SYS_name_to_handle_at,
    libc::SYS_fanotify_init,
    libc::SYS_quotactl,
    libc::SYS_acct,
    libc::SYS_syslog,
    libc::SYS_process_madvise,
    libc::SYS_personality,
    libc::SYS_memfd_secret,
    libc::SYS_setsid,
];
