//! The pages that rules come from.

use serde::{Serialize, Serializer};

/// A page of Apple's documentation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Page {
    Request,
    Payload,
    Answers,
    Background,
    Token,
    Level,
    LiveActivity,
    Broadcast,
    Widgets,
    Controls,
    Mdm,
    Binary,
}

impl Page {
    /// Its title and its address.
    pub(crate) const fn link(self) -> (&'static str, &'static str) {
        match self {
            Self::Request => (
                "Sending notification requests to APNs",
                "https://developer.apple.com/documentation/usernotifications/sending-notification-requests-to-apns",
            ),
            Self::Payload => (
                "Generating a remote notification",
                "https://developer.apple.com/documentation/usernotifications/generating-a-remote-notification",
            ),
            Self::Answers => (
                "Handling notification responses from APNs",
                "https://developer.apple.com/documentation/usernotifications/handling-notification-responses-from-apns",
            ),
            Self::Background => (
                "Pushing background updates to your App",
                "https://developer.apple.com/documentation/usernotifications/pushing-background-updates-to-your-app",
            ),
            Self::Token => (
                "Establishing a token-based connection to APNs",
                "https://developer.apple.com/documentation/usernotifications/establishing-a-token-based-connection-to-apns",
            ),
            Self::Level => (
                "UNNotificationInterruptionLevel",
                "https://developer.apple.com/documentation/usernotifications/unnotificationinterruptionlevel",
            ),
            Self::LiveActivity => (
                "Starting and updating Live Activities with ActivityKit push notifications",
                "https://developer.apple.com/documentation/activitykit/starting-and-updating-live-activities-with-activitykit-push-notifications",
            ),
            Self::Broadcast => (
                "Sending broadcast push notification requests to APNs",
                "https://developer.apple.com/documentation/usernotifications/sending-broadcast-push-notification-requests-to-apns",
            ),
            Self::Widgets => (
                "Updating widgets with WidgetKit push notifications",
                "https://developer.apple.com/documentation/widgetkit/updating-widgets-with-widgetkit-push-notifications",
            ),
            Self::Controls => (
                "Updating controls locally and remotely",
                "https://developer.apple.com/documentation/widgetkit/updating-controls-locally-and-remotely",
            ),
            Self::Mdm => (
                "Setting Up Push Notifications for Your MDM Customers",
                "https://developer.apple.com/documentation/devicemanagement/setting-up-push-notifications-for-your-mdm-customers",
            ),
            Self::Binary => (
                "Legacy Notification Format (archived)",
                "https://developer.apple.com/library/archive/documentation/NetworkingInternet/Conceptual/RemoteNotificationsPG/LegacyNotificationFormat.html",
            ),
        }
    }
}

impl Serialize for Page {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Link {
            title: &'static str,
            url: &'static str,
        }
        let (title, url) = self.link();
        Link { title, url }.serialize(serializer)
    }
}
