"""A guest's `poweroff`: tells the harness, as a real one tells the hypervisor. `python power_off.py IMDS_URL`."""

import sys
import urllib.request

urllib.request.urlopen(urllib.request.Request(f"{sys.argv[1]}/power-off", data=b"", method="POST"), timeout=240).close()
