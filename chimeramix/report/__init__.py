"""`chimeramix report`: finished runs (`results`), those asked for (`where`), their names (`labels`), the papers'
figures (`papers`), two methods over the same splits (`paired`), tables of all that (`tables`) and how they are printed
(`render`), plots (`plots`), the command (`command`).

What is added when asked for (`extras`): what runs predicted (`predicted`) and how good that is (`scores`), ensembles of
seeds (`ensembles`) and of any runs (`ensemble_command`), probabilities (`calibration`), where two methods differ
(`disagreement`), the hardest images (`hardest`), what runs cost (`effort`).
"""
