//! What is measured, by which program, and what it is to reach.

/// A program that measures.
#[derive(Debug)]
pub(crate) struct Step {
    /// The target's name, or of the peers' only program.
    pub(crate) name: &'static str,
    pub(crate) package: &'static str,
    /// `--bin` or `--bench`.
    pub(crate) target: &'static str,
    pub(crate) about: &'static str,
}

pub(crate) const STEPS: &[Step] = &[
    Step {
        name: "instructions",
        package: "benches",
        target: "--bin",
        about: "what the gate costs a request in instructions, under valgrind",
    },
    Step {
        name: "gate",
        package: "benches",
        target: "--bench",
        about: "the same in nanoseconds, hot and among a million grants",
    },
    Step {
        name: "cores",
        package: "benches",
        target: "--bin",
        about: "whether two cores that serve one user hinder each other",
    },
    Step {
        name: "table",
        package: "benches",
        target: "--bin",
        about: "memory, revocation and rules",
    },
    Step {
        name: "cuts",
        package: "benches",
        target: "--bin",
        about: "how fast what is in flight ends",
    },
    Step {
        name: "peers",
        package: "peers",
        target: "--bin",
        about: "what others take for the same, in one run",
    },
    Step {
        name: "serving",
        package: "benches",
        target: "--bin",
        about: "servers over HTTP, with and without",
    },
    Step {
        name: "store",
        package: "benches",
        target: "--bench",
        about: "durable approvals beside the disk's own sync",
    },
];

/// What a figure is to be.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Goal {
    AtMost(f64),
    AtLeast(f64),
}

impl Goal {
    pub(crate) fn is_met(self, value: f64) -> bool {
        match self {
            Self::AtMost(most) => value <= most,
            Self::AtLeast(least) => value >= least,
        }
    }
}

/// One figure.
#[derive(Debug)]
pub(crate) struct Figure {
    pub(crate) name: &'static str,
    pub(crate) unit: &'static str,
    /// On what, and beside what.
    pub(crate) about: &'static str,
    pub(crate) goal: Option<Goal>,
    /// The name of the [`Step`] that prints it.
    pub(crate) step: &'static str,
}

const fn figure(
    name: &'static str,
    unit: &'static str,
    step: &'static str,
    goal: Option<Goal>,
    about: &'static str,
) -> Figure {
    Figure {
        name,
        unit,
        about,
        goal,
        step,
    }
}

const fn at_most(most: f64) -> Option<Goal> {
    Some(Goal::AtMost(most))
}

const fn at_least(least: f64) -> Option<Goal> {
    Some(Goal::AtLeast(least))
}

/// The figures in the order of the report.
pub(crate) const FIGURES: &[Figure] = &[
    figure(
        "allow_path_instructions",
        "instructions",
        "instructions",
        at_most(900.0),
        "check and record of a request with 50 fields among 1k grants: cached session, rule, grant. `Gate::decide` less what reads the request",
    ),
    figure(
        "decide_instructions",
        "instructions",
        "instructions",
        None,
        "`Gate::decide` whole: the same, and the request read (canonicalised, its fields checked)",
    ),
    figure(
        "layer_instructions",
        "instructions",
        "instructions",
        None,
        "the whole `JitLayer` over the bare service, the same request",
    ),
    figure(
        "allow_path_ns_hot",
        "ns",
        "gate",
        at_most(100.0),
        "check and record, one user of 1k",
    ),
    figure(
        "allow_path_ns_1m_zipf",
        "ns",
        "gate",
        at_most(200.0),
        "the same among 1M grants and sessions, users by Zipf (0.99)",
    ),
    figure(
        "allow_path_ns_1m_uniform",
        "ns",
        "gate",
        at_most(300.0),
        "the same, any user",
    ),
    figure(
        "layer_ns_hot",
        "ns",
        "gate",
        None,
        "the whole `JitLayer` over the bare service, one user of 1k",
    ),
    figure(
        "decision_ns",
        "ns",
        "gate",
        None,
        "`Caller::check` alone: is there a live grant? One user of 1k, who has asked before",
    ),
    figure(
        "two_core_slowdown",
        "×",
        "cores",
        at_most(1.1),
        "`Gate::decide` for one user on two cores at once, over one core",
    ),
    figure(
        "decision_vs_cedar",
        "×",
        "peers",
        at_least(100.0),
        "one decision of cedar-policy (one policy, 1k grants as entities) over one of `Caller::check` among 1k, the permit made and dropped included",
    ),
    figure(
        "decision_vs_regorus",
        "×",
        "peers",
        at_least(50.0),
        "the same of regorus, its virtual machine, 1k grants in data",
    ),
    figure(
        "decision_vs_casbin",
        "×",
        "peers",
        at_least(10_000.0),
        "the same of casbin with 1k policies",
    ),
    figure(
        "path_vs_hs256",
        "×",
        "peers",
        at_least(15.0),
        "one HS256 token verified (jsonwebtoken) over check and record",
    ),
    figure(
        "path_vs_axum_login",
        "×",
        "peers",
        at_least(50.0),
        "axum-login with its memory store, over the bare router, over check and record",
    ),
    figure(
        "path_vs_auth_request_cpu",
        "×",
        "serving",
        at_least(100.0),
        "processor time that `auth_request` adds to NGINX, the application and jit-authz for a request, over check and record",
    ),
    figure(
        "http_throughput_ratio",
        "×",
        "serving",
        at_least(0.95),
        "requests a second, axum behind `JitLayer` with 100k live grants over axum alone; the sender shares the processors",
    ),
    figure(
        "index_bytes_per_grant",
        "bytes",
        "table",
        at_most(24.0),
        "resident memory for each live grant: the whole grant, and all that finds it",
    ),
    figure(
        "revoke_visible_p50_ns",
        "ns",
        "table",
        at_most(1_000.0),
        "`Enforcer::shut` called until another core's check refuses, that check included",
    ),
    figure(
        "cut_10k_streams_ms",
        "ms",
        "cuts",
        at_most(10.0),
        "one grant revoked until the last of its 10k flights is told, each a task of its own",
    ),
    figure(
        "expiry_cut_p99_ms",
        "ms",
        "cuts",
        at_most(3.0),
        "a grant's end until its flight is told, 2k grants that end one a millisecond",
    ),
    figure(
        "match_ns_10k_rules",
        "ns",
        "table",
        at_most(50.0),
        "`RuleSet::govern`, 10k rules on 500 hosts",
    ),
    figure(
        "approval_vs_fdatasync",
        "×",
        "store",
        at_most(1.7),
        "one durable approval over the disk's own fdatasync in the same round, medians",
    ),
    figure(
        "approvals_64_per_s",
        "a second",
        "store",
        at_least(20_000.0),
        "durable approvals with 64 in flight",
    ),
];
