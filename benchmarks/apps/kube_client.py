"""The reference for Kubernetes: the official client's typed list of nodes and pods. Prints what it cost as JSON."""

from __future__ import annotations

import json
import resource
import sys
import time

from kubernetes import client, config


def main() -> int:
    """List once, keep everything, say what it took."""
    config.load_kube_config(sys.argv[1])
    began, spent = time.perf_counter(), time.process_time()
    api = client.CoreV1Api()
    nodes = api.list_node(resource_version="0").items
    pods = api.list_pod_for_all_namespaces(resource_version="0").items
    used = resource.getrusage(resource.RUSAGE_SELF)
    print(
        json.dumps(
            {
                "nodes": len(nodes),
                "pods": len(pods),
                "cpu_s": time.process_time() - spent,
                "wall_s": time.perf_counter() - began,
                "rss": used.ru_maxrss * 1024,
            }
        )
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
