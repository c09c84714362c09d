"""The Prefect profile `hearth`, through which Prefect's command and other flows find the server and its password."""

from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_KEY, PREFECT_API_URL, get_current_settings
from prefect.settings.profiles import Profile, load_profiles, save_profiles

from tasks.core.errors import InputError

PROFILE = "hearth"


def keep_profile(api: str, password: str, *, make: bool = True) -> None:
    """Store the address of the server's API and its password in the profile; create the profile only if `make`.

    Its other settings and the active profile are kept. Raise InputError if the file of profiles cannot be used.
    """
    path = get_current_settings().profiles_path
    try:
        profiles = load_profiles(include_defaults=False)
        if PROFILE not in profiles and not make:
            return
        settings = {PREFECT_API_URL: api, PREFECT_API_AUTH_STRING: password}
        before = profiles[PROFILE].settings if PROFILE in profiles else {}
        after = {key: value for key, value in before.items() if key is not PREFECT_API_KEY} | settings
        if path is not None and path.exists():
            path.chmod(0o600)  # before it contains the password
        if after != before:
            profiles.profiles_by_name.pop(PROFILE, None)
            profiles.add_profile(Profile(name=PROFILE, settings=after, source=path))
            save_profiles(profiles)
    except (OSError, ValueError) as error:
        raise InputError(f"Prefect's profiles in {path} cannot be used: {error}. Correct the file.") from None
