def draw(about, records, workloads):
    return ""
