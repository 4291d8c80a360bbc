//! What the help says beside the options: the variables that give them.

use clap::Command;

use crate::settings::SETTINGS;

/// The command with its variables in the help. A subcommand that takes a profile takes variables.
pub(crate) fn explained(command: Command) -> Command {
    let command = command.mut_subcommands(explained);
    if !command.get_arguments().any(|argument| argument.get_id() == PROFILE) {
        return command;
    }
    command.mut_args(|argument| {
        let Some(variable) = variable_of(argument.get_id().as_str()) else { return argument };
        let help = argument.get_help().map(ToString::to_string).unwrap_or_default();
        // Never its value: that may be a secret.
        argument.help(format!("{help} [env: {variable}]"))
    })
}

/// The option that names a profile.
const PROFILE: &str = "profile";

/// The variable that gives an option.
fn variable_of(option: &str) -> Option<String> {
    let setting = SETTINGS.iter().find(|setting| setting.name == option);
    match setting {
        Some(setting) => Some(setting.variable()),
        None => (option == PROFILE).then(|| "APNS_PROFILE".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn every_setting_is_an_option_whose_help_names_its_variable() {
        let command = explained(crate::Cli::command());
        let send = command.find_subcommand("send").unwrap();
        for setting in SETTINGS {
            let option = send.get_arguments().find(|argument| argument.get_id() == setting.name).unwrap();
            assert_eq!(option.get_long().map(str::to_owned), Some(setting.name.replace('_', "-")));
            let help = option.get_help().unwrap().to_string();
            assert!(help.ends_with(&format!(" [env: {}]", setting.variable())), "{help}");
        }
        // Its key is not that of the connection.
        let check = command.find_subcommand("sim").unwrap();
        assert!(check.get_arguments().all(|argument| !argument.get_help().unwrap().to_string().contains("[env")));
    }
}
