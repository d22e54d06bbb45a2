"""`chimeramix report`: finished runs (`results`), those asked for (`where`), their names (`labels`), the papers'
figures (`papers`), two methods over the same splits (`paired`), tables of all that (`tables`) and how they are printed
(`render`), plots (`plots`), the command (`command`).
"""
