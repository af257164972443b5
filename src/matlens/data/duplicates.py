def perceptual_hash(pixels): return hash(pixels.tobytes()) & (2**64-1)
def near_duplicates(hashes, read, on_progress=lambda d,t: None):
    from collections import defaultdict
    d=defaultdict(list)
    for i,h in enumerate(hashes): d[h].append(i)
    return [tuple(g) for g in d.values() if len(g)>1]
