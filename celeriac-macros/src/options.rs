//! The attribute's options: those of a Python task, by the same names.

use proc_macro2::TokenStream;
use quote::quote;
use syn::parse::{Parse, ParseStream};
use syn::punctuated::Punctuated;
use syn::spanned::Spanned;
use syn::{Error, Expr, ExprLit, ExprUnary, Ident, Lit, LitStr, Result, Token, UnOp};

/// What each option wants to be given.
const KNOWN: [(&str, Kind); 19] = [
    ("acks_late", Kind::Flag),
    ("track_started", Kind::Flag),
    ("process", Kind::Flag),
    ("reject_on_worker_lost", Kind::Flag),
    ("retry_on_worker_lost", Kind::Flag),
    ("acks_on_failure", Kind::Flag),
    ("acks_on_timeout", Kind::Flag),
    ("ignore_result", Kind::Flag),
    ("time_limit", Kind::Seconds),
    ("soft_time_limit", Kind::Seconds),
    ("rate_limit", Kind::Rate),
    ("max_retries", Kind::Count),
    ("default_retry_delay", Kind::Number),
    ("autoretry_for", Kind::Classes),
    ("dont_autoretry_for", Kind::Classes),
    ("retry_backoff", Kind::Factor),
    ("retry_backoff_max", Kind::Number),
    ("retry_jitter", Kind::Switch),
    ("name", Kind::Name),
];

#[derive(Clone, Copy)]
enum Kind {
    /// The task's name; no field of `TaskOptions`.
    Name,
    /// `acks_late`, or `acks_late = false`; the settings' unless given.
    Flag,
    /// `retry_jitter = false`.
    Switch,
    /// Seconds that the settings know as well.
    Seconds,
    /// Seconds, or another number.
    Number,
    /// A number, or `None` for no bound.
    Count,
    /// A number, or a flag for 1.
    Factor,
    /// `"10/m"`.
    Rate,
    /// `["ValueError", "myapp.errors.NotFound"]`.
    Classes,
}

/// All that was given.
#[derive(Default)]
pub struct Options {
    /// The task's name, if it is not that of the function and its module.
    pub name: Option<LitStr>,
    /// Fields of `TaskOptions`.
    pub fields: Vec<TokenStream>,
}

struct Given {
    name: Ident,
    value: Option<Expr>,
}

impl Parse for Given {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        let name = input.parse()?;
        let equals = input.parse::<Option<Token![=]>>()?;
        let value = equals.map(|_| input.parse()).transpose()?;
        Ok(Self { name, value })
    }
}

impl Parse for Options {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        let mut options = Self::default();
        let mut seen = Vec::new();
        for given in Punctuated::<Given, Token![,]>::parse_terminated(input)? {
            if seen.contains(&given.name) {
                return Err(Error::new(given.name.span(), "given twice"));
            }
            seen.push(given.name.clone());
            options.push(given)?;
        }
        Ok(options)
    }
}

impl Options {
    fn push(&mut self, Given { name, value }: Given) -> Result<()> {
        let kind = KNOWN.iter().find(|(known, _)| name == known);
        let Some((_, kind)) = kind else {
            return Err(unknown(&name));
        };
        if matches!(kind, Kind::Name) {
            self.name = Some(task_name(&name, value)?);
            return Ok(());
        }
        let value = kind.field(&name, value)?;
        self.fields.push(quote!(#name: #value));
        Ok(())
    }
}

fn unknown(name: &Ident) -> Error {
    let known: Vec<&str> = KNOWN.iter().map(|(known, _)| *known).collect();
    let advice = match name.to_string().as_str() {
        "bind" => "a task that knows its request takes an argument of the type `Context`".into(),
        "pool" => "a task that runs in a child process has `process`".into(),
        "blocking" => "a task that blocks is a `fn` without `async`; nothing else is needed".into(),
        _ => format!("there are: {}", known.join(", ")),
    };
    Error::new(
        name.span(),
        format!("a task has no option `{name}`; {advice}"),
    )
}

fn task_name(option: &Ident, value: Option<Expr>) -> Result<LitStr> {
    let wanted = r#"a task's name is a text: `name = "tasks.add"`"#;
    match value {
        Some(Expr::Lit(ExprLit {
            lit: Lit::Str(name),
            ..
        })) if !name.value().contains('(') => Ok(name),
        Some(other) => Err(Error::new(other.span(), wanted)),
        None => Err(Error::new(option.span(), wanted)),
    }
}

impl Kind {
    /// The value of a field of `TaskOptions`.
    fn field(self, option: &Ident, value: Option<Expr>) -> Result<TokenStream> {
        let Some(value) = value else {
            return match self {
                Self::Flag => Ok(quote!(::core::option::Option::Some(true))),
                Self::Switch => Ok(quote!(true)),
                Self::Factor => Ok(quote!(1.0)),
                _ => Err(Error::new(
                    option.span(),
                    format!("`{option}` wants a value: `{option} = …`"),
                )),
            };
        };
        Ok(match self {
            Self::Name | Self::Switch => quote!(#value),
            Self::Flag => quote!(::core::option::Option::Some(#value)),
            Self::Seconds => {
                let seconds = number(&value);
                quote!(::core::option::Option::Some(#seconds))
            }
            Self::Number => number(&value),
            Self::Count if is_none(&value) => quote!(::core::option::Option::None),
            Self::Count => quote!(::core::option::Option::Some(#value)),
            Self::Factor => factor(&value),
            Self::Rate => rate(&value)?,
            Self::Classes => classes(&value)?,
        })
    }
}

fn is_none(value: &Expr) -> bool {
    matches!(value, Expr::Path(path) if path.path.is_ident("None"))
}

/// Whole numbers are numbers, too.
fn number(value: &Expr) -> TokenStream {
    match value {
        Expr::Lit(ExprLit {
            lit: Lit::Int(whole),
            ..
        }) if whole.suffix().is_empty() => {
            let digits = format!("{}.0", whole.base10_digits());
            let literal = syn::LitFloat::new(&digits, whole.span());
            quote!(#literal)
        }
        Expr::Lit(ExprLit {
            lit: Lit::Float(_), ..
        }) => quote!(#value),
        Expr::Unary(ExprUnary {
            op: UnOp::Neg(minus),
            expr,
            ..
        }) => {
            let positive = number(expr);
            quote!(#minus #positive)
        }
        other => quote!(::core::convert::Into::<f64>::into(#other)),
    }
}

fn factor(value: &Expr) -> TokenStream {
    match value {
        Expr::Lit(ExprLit {
            lit: Lit::Bool(on), ..
        }) => {
            if on.value() {
                quote!(1.0)
            } else {
                quote!(0.0)
            }
        }
        other => number(other),
    }
}

fn rate(value: &Expr) -> Result<TokenStream> {
    let Expr::Lit(ExprLit {
        lit: Lit::Str(text),
        ..
    }) = value
    else {
        let advice = r#"a rate limit is a text: "10/s", "100/m", "5/h""#;
        return Err(Error::new(value.span(), advice));
    };
    let written = text.value();
    let (times, unit) = written.split_once('/').unwrap_or((&written, "s"));
    if times.trim().parse::<f64>().is_err() || !matches!(unit, "s" | "m" | "h") {
        let advice = r#"not a rate limit; write "10/s", "100/m" or "5/h""#;
        return Err(Error::new(text.span(), advice));
    }
    // Read above: it is a rate.
    Ok(quote!(#text.parse().ok()))
}

fn classes(value: &Expr) -> Result<TokenStream> {
    let Expr::Array(classes) = value else {
        let advice = r#"a list of Python's exception classes: `["ValueError", "app.errors.Busy"]`"#;
        return Err(Error::new(value.span(), advice));
    };
    let classes = classes.elems.iter();
    Ok(quote!(
        ::std::vec![#(::std::string::ToString::to_string(&#classes)),*]
    ))
}
