"""The plan on paper for 10^9 images, from measured rates: plan.py RESULTS [OPTIONS]

RESULTS is what faults.py --results wrote on the machine whose rates are taken: CIFAR's small images and the flower
photos, of a core each. Instances are NAME:VCPUS:GBIT:DOLLARS, a virtual processor, bits of the network and an hour's price;
each of their processors is taken for as fast as the measured one. Prints Markdown.
"""

import argparse
import json
import math
import pathlib

# On-demand list prices of us-east-1 as they were known in 2025, and sustained network bandwidth: look them up anew.
INSTANCES = ["c6a.xlarge:4:1.56:0.153", "c6a.8xlarge:32:12.5:1.224", "m6a.xlarge:4:1.56:0.173"]  # Zen 3.
SHARD_MINUTES = 10  # Of a core. A worker that is killed loses half of it on average.


def thousands(number, digits=0):
    return f"{number:,.{digits}f}"


def table(head, rows):
    print("| " + " | ".join(head) + " |\n|" + "---|" * len(head))
    for row in rows:
        print("| " + " | ".join(row) + " |")
    print()


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("results", type=pathlib.Path)
    parser.add_argument("--images", type=float, default=1e9)
    parser.add_argument("--instance", action="append", metavar="NAME:VCPUS:GBIT:DOLLARS")
    parser.add_argument("--cores", type=int, default=4000, help="of all instances together")
    parser.add_argument("--kills", type=float, default=0.05, help="of a core in an hour, as of machines at a reduced price")
    options = parser.parse_args()
    results = json.loads(options.results.read_text())
    # The rate of a core, the bare loop's times the least share that a recipe had of it, with as many workers as cores or
    # fewer; and the bytes of an image and of a row.
    works, shares = {}, {}
    for kind, result in results.items():
        name = "small images" if kind == "small" else kind
        cores = max(map(int, result["bare"]))
        shares[name] = min([1.0] + [run["share"] for run in result["runs"] if run["workers"] <= cores])
        works[name] = (result["bare"]["1"] * shares[name], result["input_bytes"] / result["images"],
                       result["row_bytes"] / result["images"])

    least = ", ".join(f"{share:.0%} for {name}" for name, share in shares.items())
    print(f"{thousands(options.images)} images on {thousands(options.cores)} cores at the least share of a bare loop's rate that a recipe "
          f"had ({least}); {SHARD_MINUTES} minutes a shard.\n")
    rows = []
    for name, (rate, size, row) in works.items():
        seconds = options.images / rate
        rows.append([name, thousands(rate), thousands(seconds / 3600), f"{seconds / options.cores / 3600:,.2f} h",
                     thousands(math.ceil(seconds / (SHARD_MINUTES * 60))), f"{options.images * size / 1e12:,.2f} TB",
                     f"{options.images * row / 1e9:,.0f} GB", f"{options.kills * SHARD_MINUTES / 60 / 2:.2%}"])
    table(["of", "images/s of a core", "core hours", "all cores together", "shards", "in", "rows out", "done twice"], rows)

    rows = []
    for instance in options.instance or INSTANCES:
        name, vcpus, gbit, dollars = instance.split(":")
        for work, (rate, size, _) in works.items():
            rate *= int(vcpus)
            rows.append([name, work, thousands(rate), f"${1e6 / rate / 3600 * float(dollars):,.3f}",
                         f"{rate * size * 8 / 1e9:.2f} of {gbit} Gbit/s"])
    table(["instance", "of", "images/s", "a million images", "network"], rows)

    print("What breaks first: how many times over each limit is used, the largest first; above 1 it does not work as it is.\n")
    for name, (rate, size, row) in works.items():
        seconds = options.images / rate
        gbits = [float(i.split(":")[2]) / int(i.split(":")[1]) for i in options.instance or INSTANCES]
        limits = {
            "an object for each image: 5,500 reads a second of one S3 prefix": rate * options.cores / 5500,
            "the instances' network, the least of them": rate * size * 8 / 1e9 / min(gbits),
            "shards: 1,001 tasks of a Slurm array (MaxArraySize)": seconds / (SHARD_MINUTES * 60) / 1001,
            "one file server of 25 Gbit/s for all": rate * options.cores * size * 8 / 25e9,
            "one `octet merge` writing all rows at 200 MB/s, in the time of the scoring":
                options.images * row / 200e6 / (seconds / options.cores)}
        print(f"- {name}: " + "; ".join(f"{what}: {used:,.2f}" for what, used in
                                        sorted(limits.items(), key=lambda limit: -limit[1])))


if __name__ == "__main__":
    main()
