//! `kv-fakes cloudflare`.

use std::io;

use clap::Args;
use kv_fakes::cloudflare::{ACCOUNT, EMAIL, Fake, GLOBAL_KEY, NAMESPACE, Refusals, TOKEN};

use super::Served;
use super::arguments::Serving;

/// Cloudflare Workers KV: the REST API of one account
#[derive(Args)]
pub(super) struct Arguments {
    /// The account, 32 hex digits
    #[arg(long, value_name = "ID", default_value = ACCOUNT)]
    account: String,
    /// The namespace that is there from the beginning, 32 hex digits; more can be created over the API
    #[arg(long, value_name = "ID", default_value = NAMESPACE)]
    namespace: String,
    /// The API token that is let in
    #[arg(long, value_name = "TOKEN", default_value = TOKEN)]
    token: String,
    /// The e-mail address that is let in with the global key
    #[arg(long, value_name = "EMAIL", default_value = EMAIL)]
    email: String,
    /// The global API key that is let in, the older form of credentials
    #[arg(long, value_name = "KEY", default_value = GLOBAL_KEY)]
    global_key: String,
    /// Whose codes and texts refusals have, where production and the vendor's local implementation differ
    #[arg(long, value_enum, default_value_t)]
    refusals: Refusals,
    #[command(flatten)]
    serving: Serving,
}

impl Arguments {
    pub(super) async fn serve(self) -> io::Result<Served> {
        let Self { account, namespace, token, email, global_key, refusals, serving } = self;
        // The default is no secret; what the caller gave is not repeated.
        let shown_token = if token == TOKEN { TOKEN } else { "(the token that was given)" };
        let hints = |base_url: &str| {
            vec![
                format!("CLOUDFLARE_API_TOKEN={shown_token}"),
                format!("CLOUDFLARE_ACCOUNT_ID={account}"),
                format!("CLOUDFLARE_BASE_URL={base_url}      (the vendor's packages)"),
                format!("CLOUDFLARE_API_BASE_URL={base_url}  (wrangler)"),
                format!("cloudflare://{account}/{namespace}?base_url={base_url}"),
            ]
        };
        let fake = Fake::new().with_account(&account).with_namespace(&namespace).with_refusals(refusals);
        let server = fake.with_token(token).with_global_key(email, global_key).serve(serving.options()).await?;
        serving.order(&server);
        let hints = hints(server.base_url());
        Ok(Served { server, hints })
    }
}
