//! What the function takes: a task's arguments, and what the worker knows.

use proc_macro2::TokenStream;
use quote::{ToTokens, quote};
use syn::ext::IdentExt;
use syn::spanned::Spanned;
use syn::{Attribute, Error, Expr, FnArg, Ident, Pat, PatType, Path, Result, Type};

/// Types that a function is given by the worker.
const EXTRACTED: [&str; 3] = ["Context", "State", "Args"];

/// One of a function's arguments.
pub struct Argument {
    /// Its name, unless it is extracted.
    pub name: Option<Ident>,
    /// Its type.
    pub ty: Type,
    /// Where it comes from.
    pub kind: Kind,
}

/// Where an argument comes from.
pub enum Kind {
    /// It must be given.
    Required,
    /// It need not be given.
    Optional(Expr),
    /// It is all that is given beyond the named, by place (`*args`).
    VarArgs,
    /// The same by name (`**kwargs`).
    VarKwargs,
    /// The worker knows it.
    Extracted,
}

/// The arguments of a function, whose attributes of ours are taken away.
pub fn read<'a>(inputs: impl Iterator<Item = &'a mut FnArg>) -> Result<Vec<Argument>> {
    // All are read before any is judged: our attributes must go.
    let read: Vec<Result<Argument>> = inputs.map(argument).collect();
    let mut arguments = read.into_iter().collect::<Result<Vec<_>>>()?;
    imply_defaults(&mut arguments);
    check_order(&arguments)?;
    Ok(arguments)
}

impl Argument {
    /// The name that a message calls it by.
    pub fn key(&self) -> Option<String> {
        self.name.as_ref().map(|name| name.unraw().to_string())
    }

    /// Whether it is one of those that have a place.
    pub fn is_named(&self) -> bool {
        matches!(self.kind, Kind::Required | Kind::Optional(_))
    }
}

fn argument(input: &mut FnArg) -> Result<Argument> {
    let FnArg::Typed(typed) = input else {
        let advice = "a task is a function of its own; take shared things as `State<T>`, \
                      and `Context` for what Python finds in `self`";
        return Err(Error::new(input.span(), advice));
    };
    let kind = declared(typed)?;
    check_type(&typed.ty)?;
    let ty = (*typed.ty).clone();
    let name = match &*typed.pat {
        Pat::Ident(pattern) if pattern.subpat.is_none() => Some(pattern.ident.clone()),
        _ => None,
    };
    let extracted = name.is_none() || is_extracted(&ty);
    Ok(match kind {
        Some(_) if extracted => {
            let advice = "this comes from the worker, not from the message: it has no default";
            return Err(Error::new(typed.span(), advice));
        }
        None if extracted => Argument {
            name: None,
            ty,
            kind: Kind::Extracted,
        },
        kind => Argument {
            name,
            ty,
            kind: kind.unwrap_or(Kind::Required),
        },
    })
}

/// What `#[default(…)]`, `#[args]` or `#[kwargs]` says.
fn declared(typed: &mut PatType) -> Result<Option<Kind>> {
    let mut found = None;
    for attribute in std::mem::take(&mut typed.attrs) {
        match kind(&attribute)? {
            Some(kind) if found.is_none() => found = Some(kind),
            Some(_) => return Err(Error::new(attribute.span(), "one is enough")),
            None => typed.attrs.push(attribute),
        }
    }
    Ok(found)
}

fn kind(attribute: &Attribute) -> Result<Option<Kind>> {
    let path = attribute.path();
    if path.is_ident("args") {
        Ok(Some(Kind::VarArgs))
    } else if path.is_ident("kwargs") {
        Ok(Some(Kind::VarKwargs))
    } else if path.is_ident("default") {
        let default = attribute.parse_args().map_err(|_| {
            let advice = "a default is a value in parentheses: `#[default(1)]`";
            Error::new(attribute.span(), advice)
        })?;
        Ok(Some(Kind::Optional(default)))
    } else {
        Ok(None)
    }
}

fn is_extracted(ty: &Type) -> bool {
    last_segment(ty).is_some_and(|name| EXTRACTED.iter().any(|known| name == *known))
}

fn is_option(ty: &Type) -> bool {
    last_segment(ty).is_some_and(|name| name == "Option")
}

fn last_segment(ty: &Type) -> Option<String> {
    let Type::Path(path) = ty else { return None };
    let path: &Path = &path.path;
    path.segments
        .last()
        .map(|segment| segment.ident.to_string())
}

fn check_type(ty: &Type) -> Result<()> {
    let advice = match ty {
        Type::Reference(_) => {
            "a task owns its arguments, which come from a message: take `String` for `&str`, \
             `Vec<T>` for `&[T]`"
        }
        Type::ImplTrait(_) => "a task's arguments are read from a message: name the type",
        _ => return Ok(()),
    };
    Err(Error::new(ty.span(), advice))
}

/// An `Option` after which nothing is required need not be given.
fn imply_defaults(arguments: &mut [Argument]) {
    for argument in arguments.iter_mut().rev() {
        match argument.kind {
            Kind::Required if is_option(&argument.ty) => {
                argument.kind = Kind::Optional(syn::parse_quote!(::core::option::Option::None));
            }
            Kind::Required => return,
            _ => {}
        }
    }
}

/// As Python reads a signature: required, optional, `*args`, by name alone,
/// `**kwargs`.
fn check_order(arguments: &[Argument]) -> Result<()> {
    let (mut optional, mut args, mut kwargs) = (false, false, false);
    for argument in arguments {
        let wrong = |text| Err(Error::new(argument.span(), text));
        match argument.kind {
            Kind::Extracted => {}
            _ if kwargs => return wrong("`#[kwargs]` takes what is left: it comes last"),
            Kind::VarArgs if args => return wrong("there can be one `#[args]`"),
            Kind::VarArgs => args = true,
            Kind::VarKwargs => kwargs = true,
            Kind::Optional(_) => optional |= !args,
            Kind::Required if optional && !args => {
                return wrong(
                    "an argument without default follows one with a default, which no \
                     caller could leave out then; give it a default, or put it first",
                );
            }
            Kind::Required => {}
        }
    }
    Ok(())
}

impl ToTokens for Argument {
    fn to_tokens(&self, tokens: &mut TokenStream) {
        let (name, ty) = (&self.name, &self.ty);
        tokens.extend(quote!(#name #ty));
    }
}
