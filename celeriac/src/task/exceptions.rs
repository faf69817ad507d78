//! Which of Python's exceptions is which one's base.

/// The builtin exceptions below `Exception`, each with its base.
const BASES: [(&str, &str); 52] = [
    ("ArithmeticError", "Exception"),
    ("AssertionError", "Exception"),
    ("AttributeError", "Exception"),
    ("BlockingIOError", "OSError"),
    ("BrokenPipeError", "ConnectionError"),
    ("BufferError", "Exception"),
    ("ChildProcessError", "OSError"),
    ("ConnectionAbortedError", "ConnectionError"),
    ("ConnectionError", "OSError"),
    ("ConnectionRefusedError", "ConnectionError"),
    ("ConnectionResetError", "ConnectionError"),
    ("EOFError", "Exception"),
    ("Exception", "BaseException"),
    ("FileExistsError", "OSError"),
    ("FileNotFoundError", "OSError"),
    ("FloatingPointError", "ArithmeticError"),
    ("GeneratorExit", "BaseException"),
    ("ImportError", "Exception"),
    ("IndentationError", "SyntaxError"),
    ("IndexError", "LookupError"),
    ("InterruptedError", "OSError"),
    ("IsADirectoryError", "OSError"),
    ("KeyError", "LookupError"),
    ("KeyboardInterrupt", "BaseException"),
    ("LookupError", "Exception"),
    ("MemoryError", "Exception"),
    ("ModuleNotFoundError", "ImportError"),
    ("NameError", "Exception"),
    ("NotADirectoryError", "OSError"),
    ("NotImplementedError", "RuntimeError"),
    ("OSError", "Exception"),
    ("OverflowError", "ArithmeticError"),
    ("PermissionError", "OSError"),
    ("ProcessLookupError", "OSError"),
    ("RecursionError", "RuntimeError"),
    ("ReferenceError", "Exception"),
    ("RuntimeError", "Exception"),
    ("StopAsyncIteration", "Exception"),
    ("StopIteration", "Exception"),
    ("SyntaxError", "Exception"),
    ("SystemError", "Exception"),
    ("SystemExit", "BaseException"),
    ("TabError", "IndentationError"),
    ("TimeoutError", "OSError"),
    ("TypeError", "Exception"),
    ("UnboundLocalError", "NameError"),
    ("UnicodeDecodeError", "UnicodeError"),
    ("UnicodeEncodeError", "UnicodeError"),
    ("UnicodeError", "ValueError"),
    ("UnicodeTranslateError", "UnicodeError"),
    ("ValueError", "Exception"),
    ("ZeroDivisionError", "ArithmeticError"),
];

/// Whether `except base` catches an exception of this `class`; both as
/// [`Failure::class`](super::Failure::class) writes them. Of a class that is
/// no builtin one it is known that it is an `Exception`; warnings are such, too.
pub fn catches(base: &str, class: &str) -> bool {
    let base = plain(base);
    let mut class = plain(class);
    loop {
        if class == base {
            return true;
        }
        if class == "BaseException" {
            return false;
        }
        let known = BASES.iter().find(|(known, _)| *known == class);
        class = known.map_or("Exception", |(_, base)| base);
    }
}

/// By the name that Python prints.
fn plain(class: &str) -> &str {
    match class.strip_prefix("builtins.").unwrap_or(class) {
        "IOError" | "EnvironmentError" => "OSError",
        class => class,
    }
}

#[cfg(test)]
mod tests {
    use super::catches;

    #[test]
    fn a_base_catches_what_is_below_it() {
        for (base, class) in [
            ("ValueError", "ValueError"),
            ("Exception", "app.errors.Busy"),
            ("OSError", "ConnectionResetError"),
            ("IOError", "builtins.FileNotFoundError"),
            ("ArithmeticError", "ZeroDivisionError"),
            ("BaseException", "KeyboardInterrupt"),
            ("app.errors.Busy", "app.errors.Busy"),
        ] {
            assert!(catches(base, class), "{base} {class}");
        }
        for (base, class) in [
            ("UnicodeError", "ValueError"),
            ("Exception", "SystemExit"),
            ("OSError", "app.errors.OSError"),
            ("TimeoutError", "celery.exceptions.TimeoutError"),
        ] {
            assert!(!catches(base, class), "{base} {class}");
        }
    }
}
