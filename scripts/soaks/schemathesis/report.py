"""Writes what schemathesis found as a page: report.py RESULT SERVER PROFILE."""

import json
import platform
import subprocess
import sys

NAMES = ["not_a_server_error", "status_code_conformance", "content_type_conformance", "response_headers_conformance",
         "response_schema_conformance", "negative_data_rejection", "positive_data_acceptance", "missing_required_header",
         "unsupported_method", "allow_header_conformance", "use_after_free", "ensure_resource_availability", "ignored_auth",
         "object_level_authorization"]

result_path, server, profile = sys.argv[1:]
with open(result_path, encoding="utf-8") as file:
    result = json.load(file)
version = subprocess.run([server, "--version"], capture_output=True, text=True, check=True).stdout.strip()
cases, operations = result["test_cases"], result["operations"]
rates = [rate for phases in result["valid_rates"].values() for rate in phases.values()]
total = {kind: sum(rate[kind] for rate in rates) for kind in ("accepted", "conflicts", "unreachable", "rejected")}

print(f"""# schemathesis against the API

`scripts/soak schemathesis` wrote this page.

| | |
| --- | --- |
| versions | schemathesis {result['schemathesis_version']}, Python {platform.python_version()}, {version} (profile `{profile}`), SQLite |
| started | {result['started_at'][:19]}Z |
| duration | {result['running_time']:.0f} s, seed {result['seed']} |
| operations | {operations['tested']} of {operations['total']} tested |
| phases | {', '.join(f"{name}: {phase['status']}" for name, phase in result['phases'].items())} |
| cases | {cases['generated']:,} generated, {cases['with_failures']:,} with failures, {cases['without_checks']:,} that no check was for |
| valid requests | {total['accepted']:,} accepted, {total['conflicts']:,} in conflict, {total['unreachable']:,} for what is not there, {total['rejected']:,} refused |
| checks | all: {', '.join(f'`{name}`' for name in NAMES)} |

## Findings
""")
for failure in result["failures"]:
    print("```json\n" + json.dumps(failure, indent=2)[:4000] + "\n```\n")
if result["errors"]:
    print("Errors of the run: " + json.dumps(result["errors"])[:4000] + "\n")
if not result["failures"] and not result["errors"]:
    print("None in what was reached: no server error, no undescribed status, header or body, and nothing taken that the description "
          "forbids. Operations for which schemathesis.toml widens `positive_data_acceptance` may refuse what the description allows.\n")
warnings = {name: found for name, found in result["warnings"].items() if found}
if warnings:
    print("## What it had too little of\n")
    for name, found in warnings.items():
        print(f"- {name}: {', '.join(f'`{one}`' for one in found)}")
