"""The sampler that runs on the nodes: Python 3.6 to 3.14, standard library only, never written to disk.

    base           roots, reading files, text for the line, threads with a deadline
    host           processor, memory, load, pressure, RAPL
    network        interfaces            rdma      InfiniBand and RoCE ports
    disks          block devices         mounts    file systems, NFS by mountstats
    accelerators   picks one of          nvml, nvidia_smi, amd, habana
    jobs           process to user, command and job
    cost           priority, what it costs, its budget
    main           the loop: pace, deltas, commands, the end

The modules travel in one bundle (`console.probes.bundle`). Their parsing functions are pure and serve the
console too, where a host without Python is read through its shell.
"""
