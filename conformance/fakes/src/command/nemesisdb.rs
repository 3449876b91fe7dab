//! `kv-fakes nemesisdb`.

use std::io;
use std::time::Duration;

use clap::Args;
use kv_fakes::nemesisdb::{Fake, MAX_MESSAGE_BYTES, Message, PING_AFTER};
use kv_fakes::{Fault, ServerOptions};

use super::chaos::Chaos;
use super::order::Order;
use super::{Running, tell};

/// The help for `--fault`.
const FORMS: &str = "\
What goes wrong with the next COUNT messages, 1 if left out:

  error, error-after    answered with a SERVER_ERROR; not carried out, or carried out
  slow[=MS]             carried out, and answered MS milliseconds later, 1000 if left out
  silent, silent-after  never answered; not carried out, or carried out
  cut, cut-after        the connection is dropped without a close frame; not carried out, or carried out
  truncated             carried out, and the connection is dropped half-way through the answers
  garbage               carried out, and answered with something that is not JSON
  implausible           SET, ADD or RMV of several keys: carried out for every other one, and status -1 for all of them

For example: --fault cut-after:3";

/// The help for `--chaos`.
const CHAOS: &str = "\
What goes wrong by chance: PERMILLE of 1000 messages meet one of these faults, all equally often, for as long as the
server runs; the same messages one after the other meet the same faults for the same SEED:

  answered with a SERVER_ERROR; not carried out, or carried out
  the connection is dropped without a close frame; not carried out, or carried out

For example, every tenth: --chaos 7:100";

/// NemesisDB KV: FusionCache 0.1.6, JSON over a WebSocket
#[derive(Args)]
pub(super) struct Arguments {
    /// The port on 127.0.0.1; 0 takes any that is free
    #[arg(long, value_name = "N", default_value_t = 0)]
    port: u16,
    /// How long a message may be, in bytes
    #[arg(long, value_name = "N", default_value_t = MAX_MESSAGE_BYTES)]
    max_message_bytes: usize,
    /// What the order of answers and chance follow
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    /// How long every answer is held back
    #[arg(long, value_name = "MS", default_value_t = 0)]
    latency: u64,
    /// Within what time the answers to different messages are mixed; 0 keeps them apart
    #[arg(long, value_name = "MS", default_value_t = 0)]
    spread: u64,
    /// After how long a silence a client is pinged; after as long again it is dropped
    #[arg(long, value_name = "SECONDS", default_value_t = PING_AFTER.as_secs(), value_parser = clap::value_parser!(u64).range(1..))]
    ping_after: u64,
    /// Drop the connection with every N-th message, by chance; 0 never does
    #[arg(long, value_name = "N", default_value_t = 0)]
    drop_one_in: u32,
    /// Go down, and lose all data, when a client closes before it has all its answers, as the real server can
    #[arg(long)]
    crash_on_early_close: bool,
    /// What goes wrong, and how many times
    #[arg(long, value_name = "NAME[=VALUE][:COUNT]", long_help = FORMS, value_parser = parse_order)]
    fault: Option<Order>,
    /// What goes wrong by chance: PERMILLE of 1000 messages, the same ones for the same SEED
    #[arg(long, value_name = "SEED:PERMILLE", long_help = CHAOS)]
    chaos: Option<Chaos>,
    /// Log every message on standard error: the command and its keys, no values
    #[arg(long)]
    verbose: bool,
}

impl Arguments {
    pub(super) async fn serve(self) -> io::Result<Running> {
        let options = ServerOptions::new().with_port(self.port).with_latency(Duration::from_millis(self.latency));
        let mut fake = Fake::new()
            .with_max_message_bytes(self.max_message_bytes)
            .with_seed(self.seed)
            .with_spread(Duration::from_millis(self.spread))
            .with_ping_after(Duration::from_secs(self.ping_after));
        if self.crash_on_early_close {
            fake = fake.with_crash_on_early_close();
        }
        if self.verbose {
            fake = fake.with_observer(|message: &Message| tell(message));
        }
        let server = fake.serve(options).await?;
        server.drop_at_random(self.drop_one_in);
        if let Some(Order { fault, count }) = self.fault {
            server.inject(fault, count);
        }
        if let Some(Chaos { seed, per_mille }) = self.chaos {
            server.inject_at_random(seed, per_mille);
        }
        let mut hint = server.store_url();
        if self.max_message_bytes != MAX_MESSAGE_BYTES {
            hint.push_str(&format!(
                "  (the store must be given the limit of {} bytes a message)",
                self.max_message_bytes
            ));
        }
        Ok(Running { url: server.url(), hints: vec![hint], _server: Box::new(server) })
    }
}

fn parse_order(text: &str) -> Result<Order, String> {
    let order: Order = text.parse()?;
    match order.fault {
        Fault::ServerError { .. }
        | Fault::Slow { .. }
        | Fault::Silent { .. }
        | Fault::Cut { .. }
        | Fault::Truncated
        | Fault::Garbage
        | Fault::Implausible => Ok(order),
        _ => Err("no message can meet this fault; --help lists those that can".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_help_lists_what_fits_and_nothing_else() {
        let mut listed = 0;
        for line in FORMS.lines().filter(|line| line.starts_with("  ")) {
            for name in line[2..24].trim().split(", ") {
                parse_order(name.split('[').next().unwrap()).unwrap();
                listed += 1;
            }
        }
        assert_eq!(listed, 10);
        for other in ["throttled", "throttled-as-success", "empty-page", "stale", "partly", "cut:x"] {
            assert!(parse_order(other).is_err(), "{other}");
        }
    }
}
