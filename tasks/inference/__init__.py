"""What a server of models is asked and answers, whatever API it speaks: requests, answers, connections."""
