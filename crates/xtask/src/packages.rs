//! What a build needs from the system, and what the two package families call it. Pure data and
//! choices: looking at the machine and installing is [`crate::bootstrap`]'s.

/// One thing that the build needs and cargo can't bring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Requirement {
    /// A C compiler and linker, for paho's C library and for Rust's own linking.
    CCompiler,
    /// cmake, which builds paho's C library.
    Cmake,
    /// make, which cmake drives.
    Make,
    /// pkg-config, which finds OpenSSL.
    PkgConfig,
    /// OpenSSL's headers, for paho and for the openssl crate.
    OpensslHeaders,
    /// Python that can make virtual environments, for our client, the official SDKs and schemathesis.
    PythonVenv,
    /// Node with npm, for our client and the official SDKs.
    Node,
    /// faketime, for the test that boots the daemon with a wrong clock.
    Faketime,
    /// jq, for the shell scripts of docs/recipes.
    Jq,
}

impl Requirement {
    /// What every build requires, in the order in which it is looked for.
    pub(crate) const BUILD: [Self; 5] =
        [Self::CCompiler, Self::Make, Self::Cmake, Self::PkgConfig, Self::OpensslHeaders];
    /// What the tests require besides.
    pub(crate) const TESTS: [Self; 4] = [Self::Faketime, Self::PythonVenv, Self::Node, Self::Jq];
    /// What the official SDKs require besides.
    pub(crate) const SDKS: [Self; 2] = [Self::PythonVenv, Self::Node];

    /// What schemathesis requires besides.
    pub(crate) const PYTHON: [Self; 1] = [Self::PythonVenv];

    /// Says what is missing, in words.
    pub(crate) fn describe(self) -> &'static str {
        match self {
            Self::CCompiler => "a C compiler (`cc`)",
            Self::Cmake => "cmake",
            Self::Make => "make",
            Self::PkgConfig => "pkg-config",
            Self::OpensslHeaders => "OpenSSL's headers",
            Self::PythonVenv => "Python 3 with `venv`",
            Self::Node => "Node with npm",
            Self::Faketime => "faketime",
            Self::Jq => "jq",
        }
    }
}

/// A family of package tools.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Family {
    /// Debian, Ubuntu and their relatives.
    Apt,
    /// Fedora and its relatives.
    Dnf,
}

impl Family {
    /// The program that installs.
    pub(crate) fn program(self) -> &'static str {
        match self {
            Self::Apt => "apt-get",
            Self::Dnf => "dnf",
        }
    }

    /// Returns the commands that install `missing`, each as its words, to be run in order.
    pub(crate) fn install_commands(self, missing: &[Requirement]) -> Vec<Vec<&'static str>> {
        let mut commands = Vec::new();
        let mut install: Vec<&str> = match self {
            Self::Apt => {
                commands.push(vec!["apt-get", "update", "-qq"]);
                vec!["apt-get", "install", "-y", "-qq", "--no-install-recommends"]
            }
            Self::Dnf => vec!["dnf", "install", "-y", "-q"],
        };
        for requirement in missing {
            install.extend(self.package_names(*requirement));
        }
        commands.push(install);
        commands
    }

    fn package_names(self, requirement: Requirement) -> &'static [&'static str] {
        match (self, requirement) {
            (Self::Apt, Requirement::CCompiler) => &["gcc", "libc6-dev"],
            (Self::Dnf, Requirement::CCompiler) => &["gcc"],
            (_, Requirement::Cmake) => &["cmake"],
            (_, Requirement::Make) => &["make"],
            (Self::Apt, Requirement::PkgConfig) => &["pkg-config"],
            (Self::Dnf, Requirement::PkgConfig) => &["pkgconf-pkg-config"],
            (Self::Apt, Requirement::OpensslHeaders) => &["libssl-dev"],
            (Self::Dnf, Requirement::OpensslHeaders) => &["openssl-devel"],
            (Self::Apt, Requirement::PythonVenv) => &["python3", "python3-venv"],
            (Self::Dnf, Requirement::PythonVenv) => &["python3", "python3-pip"],
            (Self::Apt, Requirement::Node) => &["nodejs", "npm"],
            (Self::Apt, Requirement::Faketime) => &["faketime"],
            (Self::Dnf, Requirement::Faketime) => &["libfaketime"],
            (_, Requirement::Jq) => &["jq"],
            (Self::Dnf, Requirement::Node) => &["nodejs", "nodejs-npm"],
        }
    }
}

/// Returns `commands` as one line for a shell, each through `sudo` where the reader is not root.
pub(crate) fn shell_line(commands: &[Vec<&str>], with_sudo: bool) -> String {
    let prefix = if with_sudo { "sudo " } else { "" };
    let lines: Vec<String> =
        commands.iter().map(|words| format!("{prefix}{}", words.join(" "))).collect();
    lines.join(" && ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_debian_user_gets_one_line_to_paste() {
        let commands =
            Family::Apt.install_commands(&[Requirement::Cmake, Requirement::OpensslHeaders]);
        assert_eq!(
            shell_line(&commands, true),
            "sudo apt-get update -qq && sudo apt-get install -y -qq --no-install-recommends cmake libssl-dev"
        );
    }

    #[test]
    fn root_on_fedora_needs_no_sudo_and_other_names() {
        let commands =
            Family::Dnf.install_commands(&[Requirement::PkgConfig, Requirement::OpensslHeaders]);
        assert_eq!(
            shell_line(&commands, false),
            "dnf install -y -q pkgconf-pkg-config openssl-devel"
        );
    }

    #[test]
    fn every_requirement_has_a_package_in_both_families() {
        let all = Requirement::BUILD.into_iter().chain(Requirement::SDKS);
        for requirement in all.chain(Requirement::TESTS) {
            assert!(!Family::Apt.package_names(requirement).is_empty());
            assert!(!Family::Dnf.package_names(requirement).is_empty());
        }
    }
}
