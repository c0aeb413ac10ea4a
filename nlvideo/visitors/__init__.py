"""The embedded data set of the demo: how many different visitors look over the wall?"""
