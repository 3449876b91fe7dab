#![doc = include_str!("../docs/guide/index.md")]

/// A page is a module with nothing in it. Its examples are tests where the features that they use are on.
macro_rules! pages {
    ($($page:ident: $($feature:literal)*;)*) => {$(
        #[cfg_attr(
            any(not(doctest), all($(feature = $feature),*)),
            doc = include_str!(concat!("../docs/guide/", stringify!($page), ".md"))
        )]
        pub mod $page {}
    )*};
}

pages! {
    choosing: "memory" "sqlite" "postgres" "redis" "cloudflare" "puter";
    errors: "memory";
    sessions: "memory";
    idempotency: "memory";
    rate_limits: "memory";
    leases: "memory";
    flags: "memory";
    caching: "memory";
    encryption: "memory";
    testing: "cloudflare" "layers" "memory";
    many_machines: "memory";
    adapter: "memory";
    layer: "memory";
}
