"""`doctor`: what is right or wrong about TLS, and the fix."""

from redis_manager_fastapi.cli.chosen import Chosen
from redis_manager_fastapi.cli.exits import Exit
from redis_manager_fastapi.cli.findings import Report
from redis_manager_fastapi.cli.network import Certificate, certificate_of
from redis_manager_fastapi.errors import RedisTLSError
from redis_manager_fastapi.observe.words import counted
from redis_manager_fastapi.settings import Address
from redis_manager_fastapi.topology.failures import TLSFault, tls_fault
from redis_manager_fastapi.topology.interface import Target

_SOON = 14
"""Days before it expires from which a certificate is worth a warning."""


async def report_certificate(chosen: Chosen, report: Report, target: Target) -> None:
    """Report on a TLS connection that was made, and how long its certificate holds."""
    verify, at = chosen.settings.tls.verify, chosen.at("tls.verify")
    found = await _certificate(chosen, target)
    days = None if found is None else found.days
    if verify != "full":
        said = "encrypted, but the server's " + (
            "host name is not checked" if verify == "ca" else "certificate is not checked"
        )
        report.warn("tls", said, f"set {at} to full", days=days)
    elif days is not None and days < _SOON:
        said = f"the server's certificate expires in {counted(days, 'day')}"
        report.warn("tls", said, "renew the server's certificate", days=days)
    else:
        left = "" if days is None else f", for {counted(days, 'day')} more"
        report.ok("tls", f"the server's certificate is valid{left}", days=days)


async def explain_tls(
    chosen: Chosen, report: Report, target: Target, error: RedisTLSError | None
) -> None:
    """Report a failed handshake; without an *error* the server is known to speak no TLS."""
    fault = tls_fault(error) if error is not None else TLSFault.NO_TLS
    words = fault.value.format(prefix=chosen.settings.prefix) if fault else str(error)
    said = words.partition(": set ")[0]
    if fault is TLSFault.WRONG_NAME:
        found = await _certificate(chosen, target)
        names = ", ".join(found.names) if found else ""
        said = f"the server's certificate is not for {target.options['host']}"
        said += f", but for {names}" if names else ""
    report.fail("tls", said, _fix(chosen, fault), Exit.TLS)


def _fix(chosen: Chosen, fault: TLSFault | None) -> str:
    ca, verify = chosen.at("tls.ca_file"), chosen.at("tls.verify")
    cert, key = chosen.at("tls.cert_file"), chosen.at("tls.key_file")
    trusted = chosen.settings.tls.ca_file or "the system's"
    port = chosen.at("port")
    fixes = {
        TLSFault.NO_TLS: f"{chosen.switch_tls(on=False)}, or correct {port}: "
        "the server may have another one for TLS",
        TLSFault.EXPIRED: "renew the server's certificate",
        TLSFault.NOT_YET_VALID: "set this machine's clock, or the server's certificate",
        TLSFault.WRONG_NAME: f"connect by a name that it is for: correct {chosen.at('host')}, "
        f"or set {verify}=ca to check the CA alone",
        TLSFault.UNKNOWN_CA: f"set {ca} to the CA that signed it (trusted now: {trusted})",
        TLSFault.CLIENT_WANTED: f"set {cert} and {key} to a certificate that the server trusts",
        TLSFault.CLIENT_REFUSED: f"set {cert} and {key} to a certificate that the server trusts",
        TLSFault.OWN_FILES: f"look at the files that {ca}, {cert} and {key} name",
    }
    default = f"check {ca}, {cert}, {key} and {verify}"
    return fixes.get(fault, default) if fault is not None else default


async def _certificate(chosen: Chosen, target: Target) -> Certificate | None:
    tls = chosen.settings.tls
    client = (tls.cert_file, tls.key_file) if tls.cert_file and tls.key_file else None
    address = Address(str(target.options["host"]), int(target.options["port"]))
    return await certificate_of(address, tls.ca_file, client, chosen.settings.timeout.connect)
