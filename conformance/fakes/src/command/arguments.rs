//! The arguments that all systems share: how they are served, and what goes wrong.

use std::io;
use std::str::FromStr;
use std::time::Duration;

use clap::Args;
use kv_fakes::{Engine, Exchange, FakeServer, Fault, RateLimit, ServerOptions};

use super::chaos::Chaos;
use super::order::{FORMS, Order};
use super::tell;

/// The help for `--chaos`.
const CHAOS: &str = "\
What goes wrong by chance: PERMILLE of 1000 requests meet one of these faults, all equally often, for as long as the
server runs; the same requests one after the other meet the same faults for the same SEED:

  429, not carried out, with Retry-After of a second and without
  503 with a body that is not JSON, not carried out; the same with 502, carried out
  the connection is cut without an answer; not carried out, or carried out

For example, every tenth: --chaos 7:100";

#[derive(Debug, Args)]
pub(super) struct Serving {
    /// The port on 127.0.0.1; 0 takes any that is free
    #[arg(long, value_name = "N", default_value_t = 0)]
    port: u16,
    /// How long every answer is held back
    #[arg(long, value_name = "MS", default_value_t = 0)]
    latency: u64,
    /// How many requests are let through in how many seconds; those beyond are refused and not carried out
    #[arg(long, value_name = "N/SECONDS", value_parser = parse_rate_limit)]
    rate_limit: Option<RateLimit>,
    /// What goes wrong, and how many times
    #[arg(long, value_name = "NAME[=VALUE][:COUNT]", long_help = FORMS)]
    fault: Option<Order>,
    /// What goes wrong by chance: PERMILLE of 1000 requests, the same ones for the same SEED
    #[arg(long, value_name = "SEED:PERMILLE", long_help = CHAOS)]
    chaos: Option<Chaos>,
    /// Log every request on standard error, without secrets
    #[arg(long)]
    verbose: bool,
}

impl Serving {
    pub(super) fn options(&self) -> ServerOptions {
        // It may run for days and nobody can ask for its log.
        let mut options = ServerOptions::new().with_engine(Engine::Hyper).with_exchanges_max(0);
        options = options.with_port(self.port).with_latency(Duration::from_millis(self.latency));
        if let Some(limit) = self.rate_limit {
            options = options.with_rate_limit(limit);
        }
        if self.verbose {
            options = options.with_observer(|exchange: &Exchange| tell(exchange));
        }
        options
    }

    /// A fault that fits no request of another system would never happen, without a word.
    pub(super) fn refuse_faults_of_cloudflare(&self) -> io::Result<()> {
        match self.fault {
            Some(Order { fault: Fault::ThrottledUnderSuccess | Fault::PartlyUnsuccessful { .. }, .. }) => {
                Err(io::Error::new(io::ErrorKind::InvalidInput, "only Cloudflare shows this fault"))
            }
            _ => Ok(()),
        }
    }

    /// What can be ordered only from a server that is there.
    pub(super) fn order(&self, server: &FakeServer) {
        if let Some(Order { fault, count }) = self.fault {
            server.inject(fault, count);
        }
        if let Some(Chaos { seed, per_mille }) = self.chaos {
            server.inject_at_random(seed, per_mille);
        }
    }
}

fn parse_rate_limit(text: &str) -> Result<RateLimit, String> {
    let (requests, seconds) = text.split_once('/').ok_or("expected N/SECONDS, such as 1200/300")?;
    let number = |text: &str| u32::from_str(text).ok().filter(|number| *number > 0);
    match (number(requests), number(seconds)) {
        (Some(requests), Some(seconds)) => Ok(RateLimit { requests, window: Duration::from_secs(seconds.into()) }),
        _ => Err("expected two whole numbers above 0, such as 1200/300".to_owned()),
    }
}
