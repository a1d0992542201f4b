"""Write the list of jars that make up the embedded Kafka, each with its size and SHA-256: `make lock`.

jgo walks the dependencies once, here; a user's first start only fetches what the list names and checks it.
"""

import hashlib
import json
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

from jgo.constants import MAVEN_CENTRAL_URL
from jgo.maven import MavenContext
from jgo.parse import Endpoint

KAFKA = "4.2.0"
# Kafka brings slf4j's API without a binding; 1.7.36 is the API it brings.
ENDPOINT = f"org.apache.kafka:kafka_2.13:{KAFKA}+org.slf4j:slf4j-simple:1.7.36"
LIST = Path(__file__).parent.parent / "analytics_app" / "embedded" / "kafka-jars.json"


def main() -> None:
    """Resolve, fetch and list."""
    with tempfile.TemporaryDirectory() as repository:
        maven = MavenContext(repo_cache=Path(repository), remote_repos={"central": MAVEN_CENTRAL_URL})
        wanted = [
            maven.create_dependency(replace(part, scope="compile")) for part in Endpoint.parse(ENDPOINT).coordinates
        ]
        inputs, transitive = maven.resolver.resolve(wanted)
        jars = []
        for dependency in [*inputs, *(found for found in transitive if found.scope in {"compile", "runtime"})]:
            content = dependency.artifact.resolve().read_bytes()
            name = f"{dependency.groupId}:{dependency.artifactId}:{dependency.version}"
            jars.append({"jar": name, "bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()})
    jars.sort(key=lambda jar: jar["jar"])
    LIST.write_text(json.dumps({"kafka": KAFKA, "jars": jars}, indent=1) + "\n")
    sys.stdout.write(f"{LIST.name}: {len(jars)} jars, {sum(jar['bytes'] for jar in jars) / 1e6:.0f} MB\n")


if __name__ == "__main__":
    main()
