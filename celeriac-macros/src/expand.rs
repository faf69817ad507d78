//! What the attribute writes: the function as it was, and beside it a type of
//! the same name, which is the task.

use proc_macro2::{Span, TokenStream};
use quote::{format_ident, quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{Attribute, Error, Expr, Ident, ItemFn, Lit, Meta, Result, ReturnType, Type};

use crate::arguments::{self, Argument, Kind};
use crate::options::Options;

/// The function and its task; an error leaves the function there.
pub fn task(options: TokenStream, item: TokenStream) -> TokenStream {
    let mut function: ItemFn = match syn::parse2(item.clone()) {
        Ok(function) => function,
        Err(error) => {
            let advice = Error::new(error.span(), "a task is a function: `async fn` or `fn`");
            let error = advice.to_compile_error();
            return quote!(#error #item);
        }
    };
    let arguments = arguments::read(function.sig.inputs.iter_mut());
    let written = syn::parse2(options)
        .and_then(|options| Ok((options, arguments?)))
        .and_then(|(options, arguments)| Definition::new(&function, options, arguments))
        .map(|definition| definition.write())
        .unwrap_or_else(|error| error.to_compile_error());
    quote!(#function #written)
}

struct Definition<'a> {
    function: &'a ItemFn,
    options: Options,
    arguments: Vec<Argument>,
    returned: &'a Type,
}

impl<'a> Definition<'a> {
    fn new(function: &'a ItemFn, options: Options, arguments: Vec<Argument>) -> Result<Self> {
        let generics = &function.sig.generics;
        if !generics.params.is_empty() {
            let advice = "a task has one name and thus one type: no generics";
            return Err(Error::new(generics.span(), advice));
        }
        let ReturnType::Type(_, returned) = &function.sig.output else {
            let advice = "a task says whether it succeeded: `-> Result<(), TaskError>`";
            return Err(Error::new(function.sig.ident.span(), advice));
        };
        Ok(Self {
            function,
            options,
            arguments,
            returned,
        })
    }

    fn name(&self) -> &'a Ident {
        &self.function.sig.ident
    }

    fn write(&self) -> TokenStream {
        let (task, vis) = (self.name(), &self.function.vis);
        let documented = format!(" The task of the function [`{task}`](fn@{task}).");
        let definition = self.definition();
        let inherent = self.inherent();
        let given = self.given();
        quote! {
            #[doc = #documented]
            #[allow(non_camel_case_types, reason = "it bears the function's name")]
            #vis enum #task {}
            #definition
            #inherent
            #(#given)*
        }
    }

    /// How the worker knows it.
    fn definition(&self) -> TokenStream {
        let (task, returned) = (self.name(), self.returned);
        let name = self.task_name();
        let doc = documentation(&self.function.attrs);
        let parameters = self.parameters();
        let fields = &self.options.fields;
        let extracted = self.arguments.iter().filter(|a| a.name.is_none());
        let extracted = extracted.map(|argument| &argument.ty);
        let run = self.run();
        let output = quote_spanned!(returned.span()=>
            <#returned as ::celeriac::__private::Returned>::Value
        );
        quote! {
            #[automatically_derived]
            impl ::celeriac::__private::Define for #task {
                type Output = #output;
                const DOC: &'static str = #doc;
                const BOUND: bool =
                    false #(|| <#extracted as ::celeriac::task::Extract>::BOUND)*;

                fn name() -> ::std::string::String {
                    #name
                }

                fn parameters() -> ::celeriac::task::Parameters {
                    #parameters
                }

                fn options() -> ::celeriac::task::TaskOptions {
                    ::celeriac::task::TaskOptions {
                        #(#fields,)*
                        ..::core::default::Default::default()
                    }
                }

                #run
            }
        }
    }

    fn task_name(&self) -> TokenStream {
        match &self.options.name {
            Some(name) => quote!(::std::string::String::from(#name)),
            None => {
                let function = self.name();
                quote! {
                    ::core::concat!(
                        ::core::module_path!(), "::", ::core::stringify!(#function)
                    ).replace("::", ".")
                }
            }
        }
    }

    fn parameters(&self) -> TokenStream {
        let parameters = self.arguments.iter().map(|argument| {
            let (name, ty) = (argument.key(), &argument.ty);
            match &argument.kind {
                Kind::Required => quote!(.required::<#ty>(#name)),
                Kind::Optional(default) => quote!(.optional::<#ty>(#name, #default)),
                Kind::VarArgs => quote!(.var_args(#name)),
                Kind::VarKwargs => quote!(.var_kwargs(#name)),
                Kind::Extracted => quote!(),
            }
        });
        quote!(::celeriac::task::Parameters::default()#(#parameters)*)
    }

    /// One run: extracts, reads, calls.
    fn run(&self) -> TokenStream {
        let locals = self.arguments.iter().enumerate().map(|(place, argument)| {
            let (local, ty) = (local(place), &argument.ty);
            let key = argument.key();
            match &argument.kind {
                Kind::Extracted => quote! {
                    let #local =
                        <#ty as ::celeriac::task::Extract>::extract(&invocation)?;
                },
                Kind::VarArgs => quote!(let #local: #ty = invocation.args(#key)?;),
                Kind::VarKwargs => quote!(let #local: #ty = invocation.kwargs(#key)?;),
                // Whose type serde cannot read is told so where it stands.
                _ => quote_spanned!(ty.span()=> let #local: #ty = invocation.argument(#key)?;),
            }
        });
        let names: Vec<Ident> = (0..self.arguments.len()).map(local).collect();
        let task = self.name();
        let call = match self.function.sig.asyncness {
            Some(_) => quote!(#task(#(#names),*).await),
            None => quote! {
                ::celeriac::__private::blocking(invocation.context, move || #task(#(#names),*)).await
            },
        };
        quote! {
            async fn run(
                invocation: ::celeriac::task::Invocation,
            ) -> ::core::result::Result<
                ::celeriac::task::Value, ::celeriac::task::TaskError
            > {
                #(#locals)*
                ::celeriac::__private::returned(#call)
            }
        }
    }

    /// What a caller has.
    fn inherent(&self) -> TokenStream {
        let (task, vis) = (self.name(), &self.function.vis);
        let output = quote!(<#task as ::celeriac::__private::Define>::Output);
        quote! {
            #[automatically_derived]
            #[allow(dead_code, reason = "who runs a task need not call it, and the reverse")]
            impl #task {
                /// The task, for [`Worker::task`](::celeriac::Worker::task).
                #vis fn task() -> ::celeriac::task::Task {
                    ::celeriac::task::Task::of::<Self>()
                }

                /// A call with these arguments, the last of the required ones
                /// if there are fewer. As `.s()`.
                #vis fn s<G: ::celeriac::__private::Given<Self>>(
                    arguments: G,
                ) -> ::celeriac::Call<G::Missing, #output> {
                    ::celeriac::Call::of::<Self, G>(arguments)
                }

                /// A call that takes nothing from the one before it. As `.si()`.
                #vis fn si<G: ::celeriac::__private::Given<Self>>(
                    arguments: G,
                ) -> ::celeriac::Call<::celeriac::task::Immutable, #output>
                where
                    G::Missing: ::celeriac::task::Complete,
                {
                    ::celeriac::Call::of::<Self, G>(arguments).immutable()
                }

                /// Sends a call. As `.delay()`.
                #vis async fn delay<G: ::celeriac::__private::Given<Self>>(
                    app: &::celeriac::App,
                    arguments: G,
                ) -> ::core::result::Result<
                    ::celeriac::TypedResult<#output>, ::celeriac::Error
                >
                where
                    G::Missing: ::celeriac::task::Complete,
                {
                    Self::s(arguments).delay(app).await
                }
            }
        }
    }

    /// What can be given to it: any number of its arguments.
    fn given(&self) -> Vec<TokenStream> {
        let by_place = self.arguments.iter();
        let by_place = by_place.take_while(|a| !matches!(a.kind, Kind::VarArgs));
        let by_place: Vec<&Argument> = by_place.filter(|a| a.is_named()).collect();
        let required = by_place.iter();
        let required = required.filter(|a| matches!(a.kind, Kind::Required));
        let required = required.count();
        let types: Vec<&Type> = by_place.iter().map(|argument| &argument.ty).collect();
        let given = (0..=types.len()).map(|count| {
            let missing = required.saturating_sub(count);
            self.given_so_many(&types[..missing], &types[missing..missing + count])
        });
        given.collect()
    }

    fn given_so_many(&self, missing: &[&Type], given: &[&Type]) -> TokenStream {
        let task = self.name();
        let letters: Vec<Ident> = (0..given.len()).map(|n| format_ident!("T{n}")).collect();
        let locals: Vec<Ident> = (0..given.len()).map(local).collect();
        quote! {
            #[automatically_derived]
            impl<#(#letters: ::celeriac::__private::Fits<#given>),*>
                ::celeriac::__private::Given<#task> for (#(#letters,)*)
            {
                type Missing = (#(#missing,)*);

                fn fill(
                    self,
                    signature: ::celeriac::Signature,
                ) -> ::celeriac::Signature {
                    let (#(#locals,)*) = self;
                    signature #(.arg(#locals))*
                }
            }
        }
    }
}

fn local(place: usize) -> Ident {
    Ident::new(&format!("argument{place}"), Span::mixed_site())
}

/// The doc comment, without the space that each line begins with.
fn documentation(attributes: &[Attribute]) -> String {
    let lines = attributes.iter().filter_map(|attribute| {
        let Meta::NameValue(meta) = &attribute.meta else {
            return None;
        };
        let Expr::Lit(literal) = &meta.value else {
            return None;
        };
        match &literal.lit {
            Lit::Str(text) if meta.path.is_ident("doc") => Some(text.value()),
            _ => None,
        }
    });
    let lines: Vec<String> = lines
        .map(|line| line.strip_prefix(' ').unwrap_or(&line).to_owned())
        .collect();
    lines.join("\n").trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is said of a wrong use.
    fn advice(options: &str, item: &str) -> String {
        let tokens = |text: &str| text.parse::<TokenStream>().unwrap_or_default();
        let written = task(tokens(options), tokens(item)).to_string();
        let found = written
            .split_once("compile_error ! {")
            .map(|(_, rest)| rest);
        let text = found.and_then(|rest| rest.split('}').next());
        text.unwrap_or("nothing").trim().to_owned()
    }

    #[test]
    fn a_wrong_use_is_answered_with_advice() {
        let add = "async fn add(x: i64, y: i64) -> Result<i64, TaskError> { Ok(x + y) }";
        for (options, item, wanted) in [
            ("", add, "nothing"),
            ("max_retry = 3", add, "max_retries"),
            ("bind = true", add, "`Context`"),
            ("blocking", add, "without `async`"),
            ("pool = \"process\"", add, "`process`"),
            ("name = 1", add, "tasks.add"),
            ("name = \"tasks.add(x, y)\"", add, "tasks.add"),
            ("rate_limit = \"10/y\"", add, "100/m"),
            ("autoretry_for = \"ValueError\"", add, "[\\\"ValueError\\\""),
            ("time_limit", add, "wants a value"),
            ("acks_late, acks_late", add, "twice"),
            ("", "struct Add;", "`async fn`"),
            ("", "async fn add(x: i64) { }", "Result<(), TaskError>"),
            ("", "async fn f<T>(x: T) -> R { }", "no generics"),
            ("", "async fn f(&self) -> R { }", "State<T>"),
            ("", "async fn f(x: &str) -> R { }", "`String`"),
            ("", "async fn f(x: impl Into<T>) -> R { }", "name the type"),
            (
                "",
                "async fn f(#[default(1)] x: i64, y: i64) -> R { }",
                "put it first",
            ),
            (
                "",
                "async fn f(#[default(1)] c: Context) -> R { }",
                "no default",
            ),
            (
                "",
                "async fn f(#[default] x: i64) -> R { }",
                "`#[default(1)]`",
            ),
        ] {
            let said = advice(options, item);
            assert!(said.contains(wanted), "{options} {item}: {said}");
        }
    }
}
