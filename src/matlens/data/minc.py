def is_minc_2500(source): return False
def deviations(source): return []
