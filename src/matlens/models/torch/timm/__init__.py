"""Networks of timm as trunks: divided into parts that follow one another, and put under a head of matlens' own."""
